"""Classifiers of pictures: the class that the model gives is the judge."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from anylens.zoo.worlds import shapes
from tools.saes.tasks.task import Factors, Task, index_of

LABELS = tuple(
    f"{colour} {shape}" for shape in shapes.FACTORS["shape"] for colour in shapes.FACTORS["colour"]
)


class Classes(Task):
    """Names colour and shape of a picture's object; its labels are pairs of both."""

    values: ClassVar[Mapping[str, tuple[str, ...]]] = {**shapes.FACTORS, "label": LABELS}

    def inputs(self, samples: int, *, seed: int, split: str) -> Any:
        return _Labelled(super().inputs(samples, seed=seed, split=split), self.lens.model.config.label2id)

    def truth(self, inputs: Any, number: int) -> Factors:
        batch = inputs.samples.truth(number)
        return {**batch.factors, "label": index_of(self.values["label"], [one.label for one in batch.scenes])}

    @torch.no_grad()
    def shown(self, given: Any) -> Factors:
        model = self.lens.model
        labels = [model.config.id2label[place].split() for place in model(**given).logits.argmax(-1).tolist()]
        return {
            "colour": index_of(self.values["colour"], [colour for colour, _ in labels]),
            "shape": index_of(self.values["shape"], [shape for _, shape in labels]),
        }

    def loss(self, output: Any, given: Any) -> Tensor:
        return output.loss


class _Labelled:
    """Samples with their class beside the picture, for the loss."""

    def __init__(self, samples: Any, numbers: dict[str, int]) -> None:
        self.samples, self.numbers = samples, numbers

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> Any:
        if number >= len(self):
            raise IndexError(number)
        scenes = self.samples.truth(number).scenes
        return {**self.samples[number], "labels": torch.tensor([self.numbers[one.label] for one in scenes])}
