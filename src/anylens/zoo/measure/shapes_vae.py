"""Scores `shapes-vae`: how well it gives held-out pictures back, and what its code costs."""

from __future__ import annotations

from typing import Any

import torch

from anylens.zoo.worlds.shapes import sample

BATCH = 128


@torch.no_grad()
def measure(model: Any, *, samples: int, seed: int) -> dict[str, Any]:
    """Quality over held-out pictures, each encoded to the mean of its posterior.

    psnr: peak signal-to-noise ratio in decibels, the mean over pictures. psnr_sampled: with latents drawn from the
    posterior. kl: nats from the posterior to the prior, the mean over pictures.
    """
    found: dict[str, list[torch.Tensor]] = {"psnr": [], "psnr_sampled": [], "kl": []}
    generator = torch.Generator().manual_seed(seed)
    for pictures in sample(samples, seed=seed, split="held_out").pixel_values.split(BATCH):
        posterior = model.encode(pictures).latent_dist
        found["psnr"].append(_psnr(model.decode(posterior.mode()).sample, pictures))
        found["psnr_sampled"].append(_psnr(model.decode(posterior.sample(generator)).sample, pictures))
        found["kl"].append(posterior.kl())
    return {name: torch.cat(values).mean().item() for name, values in found.items()}


def _psnr(made: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """Decibels for each picture, [n]; both -1..1."""
    error = ((made.clamp(-1, 1) - pictures) / 2).square().flatten(1).mean(1)
    return -10 * error.log10()
