"""What all sparse autoencoders share: an encoder, a decoder, and a step that leaves gradients.

Shapes: B rows, D the width of a row, F latents, K active latents of a row.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anylens.core.errors import ShapeError
from anylens.sae.ranks.across import HERE, Across


@dataclass(frozen=True, eq=False)
class Terms:
    """What a training step came to: numbers as tensors without axes, so that nothing waits for the device.

    Attributes:
        loss: what was differentiated, the mean over rows.
        parts: the terms of the loss by name, each with its coefficient: `reconstruction` (the squared error itself),
            `sparsity`, `auxiliary`.
        fired: `[F]` bool, the latents that were active in some row.
        l0: active latents of a row, on average.
        variance: of the rows around their mean, summed over the width.
    """

    loss: Tensor
    parts: Mapping[str, Tensor]
    fired: Tensor
    l0: Tensor
    variance: Tensor

    @property
    def fvu(self) -> Tensor:
        """The fraction of the rows' variance that is not explained."""
        return self.parts["reconstruction"] / self.variance.clamp_min(1e-12)


class Sae(nn.Module, ABC):
    """A sparse autoencoder: `decode(encode(x))` is near `x`, and few latents are active in each row.

    Weights are kept one latent a row, `encoder` and `decoder` both `[F, D]`. Inputs are multiplied by `scale` on the
    way in, and outputs divided by it, so that training sees rows of mean norm sqrt(D), whatever the model's scale is.

    A subclass is final: it says how latents become active (`activate`), what of its own it holds, and, where plain
    autograd through `terms` is not the fastest way, how a step is made.
    """

    variant: ClassVar[str]
    common: ClassVar[frozenset[str]] = frozenset(
        {"b_dec", "scale"}
    )  # what there is once, not for each latent
    divisible: ClassVar[bool] = (
        False  # whether `step` works with some of the latents, and other ranks have the others
    )
    across: Across = HERE
    scale: Tensor

    def __init__(self, d_in: int, d_sae: int, *, seed: int = 0) -> None:
        super().__init__()
        if d_in < 1 or d_sae < 1:
            raise ShapeError(
                f"An autoencoder needs d_in and d_sae of at least 1, and was given {d_in} and {d_sae}."
            )
        self.d_in, self.d_sae = d_in, d_sae
        random = torch.Generator().manual_seed(seed)
        decoder = torch.randn(d_sae, d_in, generator=random)
        decoder = decoder / decoder.norm(dim=1, keepdim=True)
        self.decoder = nn.Parameter(decoder)
        self.encoder = nn.Parameter(decoder.clone())
        self.b_enc = nn.Parameter(torch.zeros(d_sae))
        self.b_dec = nn.Parameter(torch.zeros(d_in))
        self.register_buffer("scale", torch.ones(()))

    # -- what a variant says -------------------------------------------------------------------------------------

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return what the variant was made with besides `d_in` and `d_sae`."""

    @abstractmethod
    def activate(self, pre_BF: Tensor) -> Tensor:
        """Return the activations of pre-activations, `[..., F]`."""

    @abstractmethod
    def step(self, x_BD: Tensor, dead_F: Tensor, progress: float) -> Terms:
        """Add this batch's gradients to the parameters' `grad`.

        Args:
            x_BD: scaled rows.
            dead_F: bool, the latents that have not fired for long.
            progress: how far the training is, from 0 to 1, for what warms up.
        """

    def beside(self, across: Across, latents: slice | None = None) -> Self:
        """Return this autoencoder as one rank of several trains it.

        Args:
            across: what its steps ask of the other ranks.
            latents: those of this rank, copied; without it all, which stay the same weights.
        """
        part = copy.copy(self)
        part.across = across
        part._parameters, part._buffers = dict(self._parameters), dict(self._buffers)
        if latents is not None:
            part.d_sae = latents.stop - latents.start
            for name, tensor in self.state_dict().items():
                own = (tensor if name in self.common else tensor[latents]).clone()
                setattr(part, name, nn.Parameter(own) if name in self._parameters else own)
        return part

    def feature(self, number: int) -> "Feature":
        """Return one latent, to steer with. Raises ShapeError if there is no such."""
        if not 0 <= number < self.d_sae:
            raise ShapeError(
                f"The autoencoder has latents 0 to {self.d_sae - 1}, and {number} was asked for."
            )
        return Feature(self, number)

    # -- using it ------------------------------------------------------------------------------------------------

    def encode(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_sae"]:
        """Return the activations of rows as the model has them.

        Raises ShapeError if the rows have another width.
        """
        if x.shape[-1] != self.d_in:
            raise ShapeError(f"The autoencoder takes rows of {self.d_in}, and was given {list(x.shape)}.")
        return self.activate(self.pre(x.to(self.encoder.dtype) * self.scale))

    def decode(self, acts: Float[Tensor, "*rows d_sae"]) -> Float[Tensor, "*rows d_in"]:
        """Return what activations stand for, in the model's own scale."""
        return (acts @ self.decoder + self.b_dec) / self.scale

    def forward(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_in"]:
        """Encode and decode."""
        return self.decode(self.encode(x)).to(x.dtype)

    def pre(self, x: Tensor) -> Tensor:
        """Return the pre-activations of scaled rows."""
        return nn.functional.linear(x - self.b_dec, self.encoder, self.b_enc)

    @torch.no_grad()
    def begin(self, rows_BD: Tensor) -> None:
        """Set the scale and the decoder's bias from a sample of rows: their mean norm, and their mean."""
        rows = rows_BD.to(self.b_dec)
        norm = float(rows.norm(dim=1).mean())
        self.scale.fill_(math.sqrt(self.d_in) / norm if norm > 0 else 1.0)
        self.b_dec.copy_(rows.mean(0) * self.scale)

    @torch.no_grad()
    def constrain(self) -> None:
        """Bring the decoder's rows back to norm one, after a step of the optimiser.

        Source: Bricken et al. 2023, https://transformer-circuits.pub/2023/monosemantic-features
        """
        self.decoder.div_(self.decoder.norm(dim=1, keepdim=True).clamp_min(1e-8))

    @torch.no_grad()
    def project(self) -> None:
        """Take out of the decoder's gradient what the constraint would undo: its part along each row."""
        grad = self.decoder.grad
        if grad is not None:
            grad.sub_((grad * self.decoder).sum(1, keepdim=True) * self.decoder)


@dataclass(frozen=True, eq=False)
class Feature:
    """One latent of an autoencoder, as `sae.feature(12)` gives it."""

    sae: Sae
    number: int

    @property
    def direction(self) -> Tensor:
        """What one unit of its activation adds to a row, in the model's own scale: `[d_in]`."""
        direction: Tensor = (self.sae.decoder[self.number] / self.sae.scale).detach()
        return direction

    def activation(self, rows: Tensor) -> Tensor:
        """Return its activation in rows `[..., d_in]`: `[...]`."""
        return self.sae.encode(rows)[..., self.number]

    def __repr__(self) -> str:
        return f"feature {self.number} of {self.sae.d_sae}"


def dense_terms(x_BD: Tensor, acts_BF: Tensor, parts: Mapping[str, Tensor]) -> Terms:
    """Differentiate a sum of terms by autograd, and say what it came to."""
    loss = torch.stack(list(parts.values())).sum()
    loss.backward()
    with torch.no_grad():
        active = acts_BF > 0
        held = {name: part.detach() for name, part in parts.items()}
        return Terms(loss.detach(), held, active.any(0), active.sum(1).float().mean(), variance(x_BD))


def squared_error(x_BD: Tensor, recon_BD: Tensor) -> Tensor:
    """Return the squared error, summed over the width of a row and averaged over rows."""
    return (recon_BD - x_BD).pow(2).sum(1).mean()


def variance(x_BD: Tensor) -> Tensor:
    """Return the variance of rows around their mean, summed over the width."""
    return (x_BD - x_BD.mean(0)).pow(2).sum(1).mean()
