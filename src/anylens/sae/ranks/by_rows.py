"""Data parallel: every rank holds the whole autoencoder and takes some rows of each batch.

Gradients are summed by `all_reduce`, in place, and not by DistributedDataParallel. That one sees gradients as autograd
makes them, puts many small ones into buckets and reduces these while the backward pass goes on; here the sparse step
makes them without autograd, all at once, and nearly all of their numbers lie in two tensors.

Shapes: B rows of this rank, D the width of a row, F latents.
"""

from typing import ClassVar

import torch
from torch import Tensor

from anylens.sae.base import Sae, Terms
from anylens.sae.ranks.across import HERE, Across
from anylens.sae.ranks.group import Group
from anylens.sae.ranks.parallel import Parallel, norm_of
from anylens.sae.ranks.selection import count_among
from anylens.sae.sparse import Pairs


class AcrossRows(Across):
    """Only what a variant does to the batch as a whole concerns the other ranks."""

    def __init__(self, group: Group) -> None:
        self.group = group

    def largest_of_rows(self, values_BK: Tensor, latents_BK: Tensor, k: int) -> Pairs:
        return HERE.largest_of_rows(values_BK, latents_BK, k)

    def largest_of_batch(self, values_N: Tensor, wanted: int) -> int:
        return count_among(values_N, wanted, rank=self.group.rank, gather=self.group.gather)

    def rows(self, here: int) -> int:
        return int(self.group.sum(torch.tensor(here, device=self.group.device)))

    def total(self, here: Tensor) -> Tensor:
        return here

    def least(self, here: Tensor) -> Tensor:
        return self.group.least(here)

    def once(self, here: Tensor) -> Tensor:
        return here


class ByRows(Parallel):
    """Each rank takes a stretch of the rows of every batch."""

    name: ClassVar[str] = "data"
    group: Group

    def __init__(self, group: Group) -> None:
        self.group = group
        self.across = AcrossRows(group)

    def part(self, sae: Sae) -> Sae:
        for tensor in sae.state_dict(keep_vars=True).values():
            self.group.broadcast(tensor)
        return sae.beside(self.across)

    def latents(self, part: Sae) -> int:
        return part.d_sae

    def own(self, values_BD: Tensor) -> Tensor:
        """Return a stretch of the rows; where there are fewer than ranks, all of them, on every rank."""
        count, rank, size = len(values_BD), self.group.rank, self.group.size
        if count < size:
            return values_BD
        return values_BD[count * rank // size : count * (rank + 1) // size]

    def combine(self, part: Sae, terms: Terms, x_BD: Tensor) -> Terms:
        """Weigh each rank's means by its rows."""
        count = len(x_BD)
        wide = x_BD.double()
        told = torch.stack([terms.loss, terms.l0, *terms.parts.values()]).double()
        sums = torch.cat([told.new_tensor([count]), count * told, wide.pow(2).sum().reshape(1), wide.sum(0)])
        fired = terms.fired.to(torch.int32)
        grads = [weight.grad for weight in part.parameters() if weight.grad is not None]
        for grad in grads:
            grad.mul_(count)
        self.group.sum_in_place([sums, fired, *grads])
        means = sums[1:] / sums[0]
        for grad in grads:
            grad.div_(sums[0])
        loss, l0, *parts = means[: len(told)]
        variance = means[len(told)] - means[len(told) + 1 :].pow(2).sum()
        return Terms(loss, dict(zip(terms.parts, parts, strict=True)), fired > 0, l0, variance)

    def norm(self, part: Sae) -> Tensor:
        return norm_of(part)

    def whole(self, here: Tensor, *, by_latent: bool) -> Tensor | None:
        return None if self.group.rank else here.detach().cpu()

    def own_latents(self, whole: Tensor, *, by_latent: bool) -> Tensor:
        return whole

    def finish(self, sae: Sae, part: Sae) -> None:
        """Both have the same weights."""
