"""A generator and a discriminator in the manner of DCGAN.

Source: Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional generative adversarial
networks", 2016 (arXiv:1511.06434).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

SHARPNESS = 20.0
"""How soon one number of a group wins over another: a lead of a tenth makes it seven times as strong."""

SMALLEST = 4  # height and width of the generator's first maps, and of the discriminator's last


class Choices(nn.Module):
    """Turns groups of a latent's numbers into choices: the largest of a group becomes about 1, the others about 0.

    So kinds lie apart although latents do not. Numbers behind the last group stay as they are.
    """

    def __init__(self, groups: Sequence[int] = ()) -> None:
        super().__init__()
        self.groups = tuple(groups)

    def forward(self, latent: Tensor) -> Tensor:
        """Return latents with their choices made: [batch, latent] in and out."""
        rest = latent.shape[1] - sum(self.groups)
        *parts, kept = latent.split([*self.groups, rest], dim=1)
        return torch.cat([*((SHARPNESS * part).softmax(1) for part in parts), kept], dim=1)


class Stage(nn.Module):
    """A convolution, a norm where there is one, and an activation."""

    def __init__(self, conv: nn.Module, norm: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm, self.activation = conv, norm, activation

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maps of this stage, [batch, channel, height, width]."""
        out: Tensor = self.activation(self.norm(self.conv(maps)))
        return out


class Generator(nn.Module):
    """Makes pictures of latents: each stage doubles height and width and halves the channels.

    Pictures are `4 * 2 ** stages` pixels high and wide, with values from -1 to 1. choices: sizes of the groups of
    latents, from the first number on, that are made choices of.
    """

    def __init__(
        self,
        latent: int = 64,
        width: int = 32,
        stages: int = 3,
        channels: int = 3,
        choices: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.latent, self.choices = latent, Choices(choices)
        widths = [width * 2**number for number in reversed(range(stages))]
        first = nn.ConvTranspose2d(latent, widths[0], SMALLEST, bias=False)
        made = [Stage(first, nn.BatchNorm2d(widths[0]), nn.ReLU())]
        for before, after in pairwise(widths):
            conv = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)
            made.append(Stage(conv, nn.BatchNorm2d(after), nn.ReLU()))
        last = nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1)
        self.stages = nn.ModuleList([*made, Stage(last, nn.Identity(), nn.Tanh())])
        self.apply(_start)

    def forward(self, latent: Tensor) -> Tensor:
        """Make a picture of each latent: [batch, latent] to [batch, channel, height, width]."""
        maps: Tensor = self.choices(latent)[:, :, None, None]
        for stage in self.stages:
            maps = stage(maps)
        return maps


class Discriminator(nn.Module):
    """Says how real a picture looks: each stage halves height and width and doubles the channels."""

    def __init__(self, width: int = 32, stages: int = 3, channels: int = 3) -> None:
        super().__init__()
        widths = [channels, *(width * 2**number for number in range(stages))]
        made = []
        for number, (before, after) in enumerate(pairwise(widths)):
            conv = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=number == 0)
            norm = nn.BatchNorm2d(after) if number else nn.Identity()
            made.append(Stage(conv, norm, nn.LeakyReLU(0.2)))
        self.stages = nn.ModuleList(made)
        self.head = nn.Conv2d(widths[-1], 1, SMALLEST)
        self.apply(_start)

    def forward(self, picture: Tensor) -> Tensor:
        """Return a logit for each picture, above zero where it is taken for real: [batch]."""
        maps = picture
        for stage in self.stages:
            maps = stage(maps)
        logit: Tensor = self.head(maps).flatten()
        return logit


class Judged(NamedTuple):
    """What a generator made, and what the discriminator says of it."""

    picture: Tensor  # [batch, channel, height, width]
    logit: Tensor  # [batch]


class GAN(nn.Module):
    """A generator and the discriminator that judges what it makes."""

    def __init__(self, generator: Generator, discriminator: Discriminator) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator

    @classmethod
    def of(
        cls,
        latent: int = 64,
        width: int = 32,
        stages: int = 3,
        channels: int = 3,
        choices: Sequence[int] = (),
    ) -> "GAN":
        """Make a pair for pictures of one size from numbers alone."""
        return cls(
            Generator(latent, width, stages, channels, choices), Discriminator(width, stages, channels)
        )

    def forward(self, latent: Tensor) -> Judged:
        """Make pictures and judge them."""
        picture = self.generator(latent)
        return Judged(picture, self.discriminator(picture))

    @torch.no_grad()
    def sample(self, number: int) -> Tensor:
        """Draw pictures."""
        device = next(self.generator.parameters()).device
        out: Tensor = self.generator(torch.randn(number, self.generator.latent, device=device))
        return out


def _start(module: nn.Module) -> None:
    """Draw the weights as the paper does."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
