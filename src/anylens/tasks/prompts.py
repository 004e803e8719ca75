"""Diffusion: pictures of captions in a few steps, which `shapes-vit` judges."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from anylens.running.regions import Region, region_of
from anylens.tasks.inputs import Given
from anylens.tasks.reconstructions import seen
from anylens.tasks.task import Factors, Task
from anylens.zoo.feeding import Samples
from anylens.zoo.measure.shapes_diffusion import GUIDANCE

STEPS = 10


class Prompts(Task):
    """Draws pictures of captions, every step of which gives rows."""

    steps = slice(None)
    size = 32

    def added(self, samples: Samples, number: int, given: Given) -> Given:
        """Return the noise that the pictures begin from, and how they are drawn."""
        random = torch.Generator().manual_seed(samples.seed * 1_000_003 + number)
        return {
            "latents": torch.randn((len(given["prompt"]), 4, 8, 8), generator=random),
            "num_inference_steps": STEPS,
            "guidance_scale": GUIDANCE,
            "output_type": "pt",
        }

    def truth(self, inputs: Any, number: int) -> Factors:
        """Return what the captions ask for."""
        found: Factors = inputs.truth(number).factors
        return found

    def region(self, trials: Any, number: int, rows: Sequence[int] | None = None) -> Region:
        """Return the rows that follow the caption: guidance leads away from the others, which stay as they are."""
        count = len(trials.truth(number).scenes) if rows is None else len(rows)
        return region_of(torch.arange(2 * count) >= count, ("batch",))

    @torch.no_grad()
    def shown(self, given: Any) -> Factors:
        return seen(self.net(**given).images * 2 - 1, self.values)

    @torch.no_grad()
    def loss(self, output: Any, given: Any) -> Tensor:
        """Return how far the pictures are from those that the model draws by itself."""
        apart: Tensor = output.images - self.net(**given).images
        return apart.square().mean()
