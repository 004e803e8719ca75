"""Autoencoders of pictures: `shapes-vit` judges what they give back."""

from typing import Any

import torch
from torch import Tensor

from anylens.tasks.task import Factors, Task, index_of
from anylens.zoo.measure.judge import judged

ALONE = 0.9  # of a pixel's area


def seen(pixels: Tensor, values: Any) -> Factors:
    """Return what the judge sees in pictures of -1..1."""
    verdict = judged((pixels / 2 + 0.5).clamp(0, 1))
    return {
        "colour": index_of(values["colour"], verdict.colours),
        "shape": index_of(values["shape"], verdict.shapes),
    }


class Reconstructions(Task):
    """Gives a picture back; its maps have a cell for each pixel."""

    def truth(self, inputs: Any, number: int) -> Factors:
        """Return what lies under each pixel, where it is almost one thing alone."""
        found: Factors = inputs.truth(number).positions(patch=1, least=ALONE)
        return found

    @torch.no_grad()
    def shown(self, given: Any) -> Factors:
        return seen(self.net(**given).sample, self.values)

    def loss(self, output: Any, given: Any) -> Tensor:
        apart: Tensor = output.sample - given["sample"]
        return apart.square().mean()
