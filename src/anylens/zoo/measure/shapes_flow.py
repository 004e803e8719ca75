"""Scores `shapes-flow`: bits per dimension, beside those of a Gaussian with every covariance, and its inverse."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from anylens.zoo.worlds.halved import BITS_OF_SCALE, dequantised, halved
from anylens.zoo.worlds.shapes import sample

BATCH = 256
FITTED = 8192
"""Pictures of the training's split that the Gaussian is fitted to: over ten for each of its dimensions."""


@torch.no_grad()
def measure(model: Any, *, samples: int, seed: int) -> dict[str, Any]:
    """How well held-out pictures are predicted, and how exactly they come back.

    bits, gaussian_bits: bits per dimension, of the flow and of the Gaussian. ratio: the first over the second.
    inverse_error: the largest difference of a value, -1..1, from what the inverse makes of the flow's latents.
    """
    generator = torch.Generator().manual_seed(seed)
    pictures = dequantised(halved(sample(samples, seed=seed, split="held_out").pixels), generator=generator)
    bits = _bits(torch.cat([model.log_prob(part) for part in pictures.split(BATCH)]), pictures)
    fitted = dequantised(halved(sample(FITTED, seed=seed, split="train").pixels), generator=generator)
    gaussian = _bits(_gaussian(fitted.flatten(1).double(), pictures.flatten(1).double()), pictures)
    errors = [(model.inverse(model(part).value).value - part).abs().max() for part in pictures.split(BATCH)]
    return {
        "bits": bits,
        "gaussian_bits": gaussian,
        "ratio": bits / gaussian,
        "inverse_error": max(error.item() for error in errors),
    }


def _bits(log_densities: Tensor, pictures: Tensor) -> float:
    """Mean bits per dimension, of levels, from log-densities of pictures in nats, [n]."""
    return -log_densities.mean().item() / pictures[0].numel() / math.log(2) + BITS_OF_SCALE


def _gaussian(fitted: Tensor, held_out: Tensor) -> Tensor:
    """The log-density of each held-out row under the Gaussian that has the fitted rows' mean and covariance."""
    mean, covariance = fitted.mean(0), torch.cov(fitted.T)
    normal = torch.distributions.MultivariateNormal(mean, covariance_matrix=covariance, validate_args=False)
    density: Tensor = normal.log_prob(held_out)
    return density
