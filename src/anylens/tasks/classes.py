"""Classifiers of pictures: the class that the model gives is the judge."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from anylens.tasks.inputs import Given
from anylens.tasks.task import Factors, Task, index_of
from anylens.zoo.feeding import Samples
from anylens.zoo.worlds import shapes

LABELS = tuple(
    f"{colour} {shape}" for shape in shapes.FACTORS["shape"] for colour in shapes.FACTORS["colour"]
)


class Classes(Task):
    """Names colour and shape of a picture's object; its labels are pairs of both."""

    values: ClassVar[Mapping[str, tuple[str, ...]]] = {**shapes.FACTORS, "label": LABELS}

    def added(self, samples: Samples, number: int, given: Given) -> Given:
        numbers = self.net.config.label2id
        return {"labels": torch.tensor([numbers[one.label] for one in samples.truth(number).scenes])}

    def truth(self, inputs: Any, number: int) -> Factors:
        batch = inputs.truth(number)
        return {**batch.factors, "label": index_of(self.values["label"], [one.label for one in batch.scenes])}

    @torch.no_grad()
    def shown(self, given: Any) -> Factors:
        model = self.net
        labels = [model.config.id2label[place].split() for place in model(**given).logits.argmax(-1).tolist()]
        return {
            "colour": index_of(self.values["colour"], [colour for colour, _ in labels]),
            "shape": index_of(self.values["shape"], [shape for _, shape in labels]),
        }

    def loss(self, output: Any, given: Any) -> Tensor:
        loss: Tensor = output.loss
        return loss
