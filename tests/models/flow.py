"""Tiny flows, of vectors and of pictures."""

from collections.abc import Callable

import torch

from anylens.zoo.nets.flow import RealNVP
from tests.models.common import BATCH, Made


def realnvp() -> Made:
    return RealNVP((5,), layers=4, hidden=8).eval(), {"x": torch.randn(BATCH, 5)}


def realnvp_pictures() -> Made:
    return RealNVP((3, 6, 4), layers=4, hidden=8).eval(), {"x": torch.randn(BATCH, 3, 6, 4)}


MODELS: dict[str, Callable[[], Made]] = {make.__name__: make for make in (realnvp, realnvp_pictures)}
