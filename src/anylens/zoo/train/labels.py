"""What classifiers of the shapes world share: their labels, and the loss of a batch that is drawn for each step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from anylens.zoo.train.loop import LossAt, batch_seed
from anylens.zoo.worlds.drawing import COLOURS, SHAPES
from anylens.zoo.worlds.shapes import Scene, sample

LABELS = tuple(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)


def label_settings() -> dict[str, dict[Any, Any]]:
    """The labels as a configuration of transformers takes them."""
    return {
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: index for index, label in enumerate(LABELS)},
    }


def labels_of(scenes: Iterable[Scene]) -> Tensor:
    """The number of each scene's label, [n]."""
    return torch.tensor([LABELS.index(scene.label) for scene in scenes])


def loss_of(model: Any, *, batch: int, seed: int) -> LossAt:
    """The cross-entropy of a classifier's logits on pictures that no other step sees."""

    def loss_at(step: int) -> Tensor:
        drawn = sample(batch, seed=batch_seed(seed, step), split="train")
        logits = model(pixel_values=drawn.pixel_values).logits
        return torch.nn.functional.cross_entropy(logits, labels_of(drawn.scenes))

    return loss_at
