"""Autoencoders of pictures: `shapes-vit` judges what they give back."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from anylens.running.regions import Region, region_of
from anylens.tasks.task import Factors, Task, index_of
from anylens.zoo.measure.judge import judged


def seen(pixels: Tensor, values: Any) -> Factors:
    """Return what the judge sees in pictures of -1..1; nothing where there is no object."""
    verdict = judged((pixels / 2 + 0.5).clamp(0, 1))
    return {
        "colour": index_of(values["colour"], verdict.colours),
        "shape": index_of(values["shape"], verdict.shapes),
    }


class Reconstructions(Task):
    """Gives a picture back, steered where its object is; the map that is steered has a cell for each pixel."""

    def truth(self, inputs: Any, number: int) -> Factors:
        """Return what the pictures show."""
        found: Factors = inputs.truth(number).factors
        return found

    def region(self, trials: Any, number: int, rows: Sequence[int] | None = None) -> Region:
        """Return the pixels of the objects."""
        objects = trials.truth(number).positions(patch=1)["colour"] >= 0
        return region_of(objects if rows is None else objects[list(rows)], ("batch", "height", "width"))

    @torch.no_grad()
    def shown(self, given: Any) -> Factors:
        return seen(self.net(**given).sample, self.values)

    def loss(self, output: Any, given: Any) -> Tensor:
        apart: Tensor = output.sample - given["sample"]
        return apart.square().mean()
