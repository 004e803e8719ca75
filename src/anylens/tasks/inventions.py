"""Generators of pictures from nothing: `shapes-vit` says what is in a picture, where it is sure."""

from typing import Any

import torch
from torch import Tensor

from anylens.tasks.reconstructions import seen
from anylens.tasks.task import Factors, Task
from anylens.zoo.measure.judge import judged

SURE = 0.9


class Inventions(Task):
    """Makes pictures of latents."""

    @torch.no_grad()
    def truth(self, inputs: Any, number: int) -> Factors:
        """Return what the judge sees in the pictures that the model makes by itself, -1 where it is not sure."""
        made = self.net.generator(**inputs[number])
        unsure = judged(made / 2 + 0.5).confidence < SURE
        return {name: found.masked_fill(unsure, -1) for name, found in seen(made, self.values).items()}

    @torch.no_grad()
    def shown(self, given: Any) -> Factors:
        return seen(self.net(**given).picture, self.values)

    @torch.no_grad()
    def loss(self, output: Any, given: Any) -> Tensor:
        """Return how far the pictures are from those that the model makes by itself."""
        apart: Tensor = output.picture - self.net(**given).picture
        return apart.square().mean()
