"""Diffusion: pictures of captions in a few steps, which `shapes-vit` judges."""

from typing import Any

import torch
from torch import Tensor

from anylens.zoo.measure.shapes_diffusion import GUIDANCE
from tools.saes.tasks.reconstructions import seen
from tools.saes.tasks.task import Factors, Task

STEPS = 10


class Prompts(Task):
    """Draws pictures of captions, every step of which gives rows."""

    steps = slice(None)
    size = 32

    def inputs(self, samples: int, *, seed: int, split: str) -> Any:
        return _Begun(super().inputs(samples, seed=seed, split=split))

    def truth(self, inputs: Any, number: int) -> Factors:
        """Return what the captions ask for."""
        return inputs.samples.truth(number).factors

    @torch.no_grad()
    def shown(self, given: Any) -> Factors:
        return seen(self.lens.model(**given).images * 2 - 1, self.values)

    @torch.no_grad()
    def loss(self, output: Any, given: Any) -> Tensor:
        """Return how far the pictures are from those that the model draws by itself."""
        return (output.images - self.lens.model(**given).images).square().mean()


class _Begun:
    """Prompts, each with the noise that its picture begins from."""

    def __init__(self, samples: Any) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> Any:
        if number >= len(self):
            raise IndexError(number)
        given = self.samples[number]
        seed = self.samples.seed * 1_000_003 + number
        shape = (len(given["prompt"]), 4, 8, 8)
        return {
            **given,
            "latents": torch.randn(shape, generator=torch.Generator().manual_seed(seed)),
            "num_inference_steps": STEPS,
            "guidance_scale": GUIDANCE,
            "output_type": "pt",
        }
