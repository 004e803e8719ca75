"""Pictures at half their size, as a density model takes them: 256 levels made continuous by uniform noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

LEVELS = 256

BITS_OF_SCALE = math.log2(LEVELS / 2)
"""Bits per value between a density over values of -1..1 and one over levels, each 1 wide."""


def halved(pixels: Tensor) -> Tensor:
    """Pictures, [n, 3, height, width], 0..1, at half the height and width, as whole levels 0..255."""
    return (avg_pool2d(pixels, 2) * LEVELS).floor().clamp(0, LEVELS - 1)


def dequantised(levels: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Levels with noise of one level, brought to -1..1."""
    noise = torch.rand(levels.shape, generator=generator)
    return (levels + noise) * (2 / LEVELS) - 1
