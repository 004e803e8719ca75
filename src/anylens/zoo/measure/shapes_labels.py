"""Scores classifiers of colour and shape on held-out pictures, as a whole and by factor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from anylens.zoo.worlds.shapes import FACTORS, ShapesBatch, sample

BATCH = 256


def measure(model: Any, *, samples: int, seed: int) -> dict[str, Any]:
    """Accuracy over held-out pictures, each 0..1.

    accuracy: colour and shape both right. accuracy_of: colour or shape alone right. accuracy_by: `accuracy` over the
    pictures of each factor's each value.
    """
    batch = sample(samples, seed=seed, split="held_out")
    answers = [model.config.id2label[index].split() for index in _predictions(model, batch).tolist()]
    right = {
        "colour": _truths(
            scene.colour == colour for scene, (colour, _) in zip(batch.scenes, answers, strict=True)
        ),
        "shape": _truths(
            scene.shape == shape for scene, (_, shape) in zip(batch.scenes, answers, strict=True)
        ),
    }
    both = right["colour"] * right["shape"]
    return {
        "accuracy": both.mean().item(),
        "accuracy_of": {name: values.mean().item() for name, values in right.items()},
        "accuracy_by": _by_factor(both, batch),
    }


@torch.no_grad()
def _predictions(model: Any, batch: ShapesBatch) -> Tensor:
    return torch.cat([model(pixel_values=part).logits.argmax(-1) for part in batch.pixel_values.split(BATCH)])


def _truths(values: Any) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float64)


def _by_factor(right: Tensor, batch: ShapesBatch) -> dict[str, dict[str, float]]:
    """The mean of `right`, [n], over the pictures of each value; a value without pictures is left out."""
    return {
        factor: {
            value: right[numbers == index].mean().item()
            for index, value in enumerate(FACTORS[factor])
            if (numbers == index).any()
        }
        for factor, numbers in batch.factors.items()
    }
