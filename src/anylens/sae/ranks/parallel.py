"""How the work of a training is divided among ranks: what the loop asks of that, and the division among one."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from anylens.sae.base import Sae, Terms
from anylens.sae.ranks.across import HERE, Across
from anylens.sae.ranks.group import Group


class Parallel(ABC):
    """A way to divide the work.

    Attributes:
        name: what `train(..., parallel=...)` calls it.
        across: what a step asks of the other ranks.
        group: all ranks; None where there is one only.
    """

    name: ClassVar[str]
    across: Across
    group: Group | None

    @abstractmethod
    def part(self, sae: Sae) -> Sae:
        """Return the autoencoder whose gradients this rank makes: the same weights, or some of its latents."""

    @abstractmethod
    def latents(self, part: Sae) -> int:
        """Return how many latents there are on all ranks."""

    @abstractmethod
    def own(self, values_BD: Tensor) -> Tensor:
        """Return the rows of a batch that this rank takes."""

    @abstractmethod
    def combine(self, part: Sae, terms: Terms, x_BD: Tensor) -> Terms:
        """Make gradients and terms those of all ranks; `fired` is of the latents here."""

    @abstractmethod
    def norm(self, part: Sae) -> Tensor:
        """Return the norm of all gradients together."""

    @abstractmethod
    def whole(self, here: Tensor, *, by_latent: bool) -> Tensor | None:
        """Return a tensor as one process would have it, on the CPU: on the rank that leads, None on the others.

        Args:
            here: a weight, or what is kept beside one.
            by_latent: whether it has a row, or a number, for each latent.
        """

    @abstractmethod
    def own_latents(self, whole: Tensor, *, by_latent: bool) -> Tensor:
        """Return what this rank holds of such a tensor."""

    @abstractmethod
    def finish(self, sae: Sae, part: Sae) -> None:
        """Put what was trained into the whole autoencoder, on every rank."""


class Alone(Parallel):
    """One process does everything."""

    name: ClassVar[str] = "alone"
    across: Across = HERE
    group: Group | None = None

    def part(self, sae: Sae) -> Sae:
        return sae

    def latents(self, part: Sae) -> int:
        return part.d_sae

    def own(self, values_BD: Tensor) -> Tensor:
        return values_BD

    def combine(self, part: Sae, terms: Terms, x_BD: Tensor) -> Terms:
        return terms

    def norm(self, part: Sae) -> Tensor:
        return norm_of(part)

    def whole(self, here: Tensor, *, by_latent: bool) -> Tensor | None:
        return here.detach().cpu()

    def own_latents(self, whole: Tensor, *, by_latent: bool) -> Tensor:
        return whole

    def finish(self, sae: Sae, part: Sae) -> None:
        """What was trained is the whole."""


def norm_of(sae: Sae) -> Tensor:
    """Return the norm of an autoencoder's gradients together."""
    norm: Tensor = torch.nn.utils.get_total_norm([w.grad for w in sae.parameters() if w.grad is not None])
    return norm
