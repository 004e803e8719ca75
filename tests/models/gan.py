"""A tiny generator and discriminator in the manner of DCGAN, alone and together."""

from collections.abc import Callable

import torch

from anylens.zoo.nets.gan import GAN, Discriminator, Generator
from tests.models.common import BATCH, Made

LATENT, STAGES, WIDTH = 7, 2, 5


def generator() -> Made:
    return Generator(LATENT, WIDTH, STAGES).eval(), {"latent": torch.randn(BATCH, LATENT)}


def discriminator() -> Made:
    return Discriminator(WIDTH, STAGES).eval(), {"picture": torch.randn(BATCH, 3, 16, 16)}


def gan() -> Made:
    return GAN(generator()[0], discriminator()[0]).eval(), {"latent": torch.randn(BATCH, LATENT)}


MODELS: dict[str, Callable[[], Made]] = {make.__name__: make for make in (generator, discriminator, gan)}
