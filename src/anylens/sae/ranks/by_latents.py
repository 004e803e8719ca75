"""The dictionary divided among ranks: each has some of the latents, and takes all rows of each batch.

So a dictionary may be larger than one device holds: weights, gradients and the optimiser's state are divided. A row's
largest pre-activations are chosen exactly, among every rank's largest; what ranks decode is added up; gradients of a
latent are made where it is.

Shapes: B rows, D the width of a row, F latents of this rank, K candidates of a row.
"""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from anylens.core.errors import SaeError
from anylens.sae.base import Sae, Terms
from anylens.sae.ranks.across import Across
from anylens.sae.ranks.group import Group
from anylens.sae.ranks.parallel import Parallel
from anylens.sae.ranks.selection import among_columns, count_among
from anylens.sae.sparse import Pairs


class AcrossLatents(Across):
    """Whatever is chosen among latents, or added up over them, concerns all ranks."""

    def __init__(self, group: Group, first: int) -> None:
        self.group, self.first = group, first

    def largest_of_rows(self, values_BK: Tensor, latents_BK: Tensor, k: int) -> Pairs:
        count = values_BK.shape[1]
        values_BK = values_BK.relu()
        everyones = self.group.gather(functional.pad(values_BK, (0, k - count)))
        kept_BC = among_columns(torch.cat(everyones, 1), k)
        start = k * self.group.rank
        kept_BK = values_BK * kept_BC[:, start : start + count]
        longest = int((kept_BK > 0).sum(1).max()) if count else 0
        if not longest:
            return Pairs(values_BK.new_zeros(len(values_BK), 1), latents_BK.new_zeros(len(values_BK), 1))
        values, places = kept_BK.topk(longest, dim=1)
        return Pairs(values, latents_BK.gather(1, places))

    def largest_of_batch(self, values_N: Tensor, wanted: int) -> int:
        return count_among(values_N, wanted, rank=self.group.rank, gather=self.group.gather)

    def rows(self, here: int) -> int:
        return here

    def total(self, here: Tensor) -> Tensor:
        return self.group.sum(here)

    def least(self, here: Tensor) -> Tensor:
        return self.group.least(here)

    def once(self, here: Tensor) -> Tensor:
        return here if self.group.rank == 0 else torch.zeros_like(here)


class ByLatents(Parallel):
    """Each rank has a stretch of the latents."""

    name: ClassVar[str] = "dictionary"
    group: Group

    def __init__(self, group: Group, latents: int) -> None:
        if latents < group.size:
            raise SaeError(f"{latents} latents cannot be divided among {group.size} ranks. Start fewer.")
        self.group = group
        ends = [latents * rank // group.size for rank in range(group.size + 1)]
        self.sizes = [stop - start for start, stop in pairwise(ends)]
        self.here = slice(ends[group.rank], ends[group.rank + 1])
        self.across = AcrossLatents(group, self.here.start)

    def part(self, sae: Sae) -> Sae:
        """Return the latents of this rank, on its device.

        Raises SaeError for a variant whose step does not ask other ranks for what they decode.
        """
        if not sae.divisible:
            raise SaeError(
                f"The dictionary of a {sae.variant} autoencoder cannot be divided among ranks. Give parallel='data', "
                "or take topk, batchtopk or matryoshka."
            )
        for tensor in sae.state_dict(keep_vars=True).values():
            self.group.broadcast(tensor)
        return sae.beside(self.across, self.here).to(self.group.device)

    def latents(self, part: Sae) -> int:
        return sum(self.sizes)

    def own(self, values_BD: Tensor) -> Tensor:
        return values_BD

    def combine(self, part: Sae, terms: Terms, x_BD: Tensor) -> Terms:
        """Add up what the ranks' latents say of the decoder's bias; all else is whole already."""
        if part.b_dec.grad is not None:
            self.group.sum_in_place([part.b_dec.grad])
        return terms

    def norm(self, part: Sae) -> Tensor:
        squares = [
            self.across.once(grad.pow(2).sum()) if name in part.common else grad.pow(2).sum()
            for name, grad in ((name, weight.grad) for name, weight in part.named_parameters())
            if grad is not None
        ]
        return self.group.sum(torch.stack(squares).sum()).sqrt()

    def whole(self, here: Tensor, *, by_latent: bool) -> Tensor | None:
        if by_latent:
            return self.group.collect(here, self.sizes)
        return None if self.group.rank else here.detach().cpu()

    def own_latents(self, whole: Tensor, *, by_latent: bool) -> Tensor:
        return whole[self.here] if by_latent else whole

    def finish(self, sae: Sae, part: Sae) -> None:
        places = sae.state_dict(keep_vars=True)
        for name, here in part.state_dict().items():
            whole = self.whole(here, by_latent=name not in part.common)
            if whole is not None:
                places[name].detach().copy_(whole)
            self.group.broadcast(places[name])
