"""RealNVP: a flow of affine couplings, invertible, with the log-determinant of every layer.

Source: Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", 2017 (arXiv:1605.08803).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Flowed(NamedTuple):
    """What a flow gives: `z` where it was given `x` and the other way round, and a log-determinant for each layer."""

    value: Tensor  # [batch, ...], as what was given
    log_dets: Tensor  # [batch, layer], of the direction that was taken


class Coupling(nn.Module):
    """Scales and shifts one half of its input by amounts computed from the other half, which it leaves as it is.

    `mask` is one where the input is left as it is. Called with `reverse=True` it undoes what it does.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, hidden: int) -> None:
        super().__init__()
        self.register_buffer("mask", mask)
        self.net = _picture_net(mask.shape[0], hidden) if mask.dim() == 3 else _vector_net(len(mask), hidden)
        self.scale = nn.Parameter(torch.zeros_like(mask[:1]) + 0.5)

    def forward(self, x: Tensor, reverse: bool = False) -> tuple[Tensor, Tensor]:
        """Return the value on the other side, and the log-determinant of this direction, [batch]."""
        raw, shift = self.net(x * self.mask).chunk(2, dim=1)
        free = 1 - self.mask
        log_scale, shift = torch.tanh(raw) * self.scale * free, shift * free
        if reverse:
            return (x - shift) * torch.exp(-log_scale), -log_scale.flatten(1).sum(1)
        return x * torch.exp(log_scale) + shift, log_scale.flatten(1).sum(1)


class RealNVP(nn.Module):
    """A flow from data to a standard normal and back.

    `shape` is that of one sample: `(features,)`, or `(channel, height, width)`. The halves of a vector are its even
    and odd features; those of a picture are in turn the colours of a chequerboard and, if it has several, its channels.
    """

    def __init__(self, shape: tuple[int, ...], layers: int = 4, hidden: int = 32) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.layers = nn.ModuleList(Coupling(mask_of(self.shape, number), hidden) for number in range(layers))

    def forward(self, x: Tensor) -> Flowed:
        """Take data to the latent space."""
        log_dets = []
        for layer in self.layers:
            x, log_det = layer(x)
            log_dets.append(log_det)
        return Flowed(x, torch.stack(log_dets, dim=1))

    def inverse(self, z: Tensor) -> Flowed:
        """Take latents to data; the log-determinants stand in the order of the layers here as well."""
        log_dets = []
        for layer in reversed(self.layers):
            z, log_det = layer(z, reverse=True)
            log_dets.append(log_det)
        return Flowed(z, torch.stack(log_dets[::-1], dim=1))

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density of each sample, in nats, [batch]."""
        flowed: Flowed = self(x)
        normal = -0.5 * (flowed.value.square() + math.log(2 * math.pi)).flatten(1).sum(1)
        return normal + flowed.log_dets.sum(1)

    @torch.no_grad()
    def sample(self, number: int) -> Tensor:
        """Draw samples from the model."""
        z = torch.randn(number, *self.shape, device=next(self.parameters()).device)
        return self.inverse(z).value


def mask_of(shape: tuple[int, ...], number: int) -> Tensor:
    """Return the mask of a layer by its number: two layers with the halves exchanged, then the next kind of mask."""
    if len(shape) == 1:
        return ((torch.arange(shape[0]) + number) % 2).float()
    channels, height, width = shape
    if channels > 1 and number // 2 % 2:
        first = (torch.arange(channels) < channels // 2) == bool(number % 2)
        return first.float()[:, None, None].expand(shape).clone()
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((rows + columns + number) % 2).float().expand(shape).clone()


def _vector_net(features: int, hidden: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(features, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 2 * features),
    )


def _picture_net(channels: int, hidden: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(hidden, hidden, 1),
        nn.ReLU(),
        nn.Conv2d(hidden, 2 * channels, 3, padding=1),
    )
