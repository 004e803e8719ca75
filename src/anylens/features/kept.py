"""The samples that are kept as examples of each feature, with each feature's activations all over them.

Shapes: N rows, F features, K kept samples of each, S samples of an input, P rows of a sample.
"""

import torch
from torch import Tensor

NONE = -1  # the number of no sample
NEVER = float("-inf")  # the key of what is never kept


class Grid:
    """The rows of an input, sample by sample: `index` `[S, P]` says which, `NONE` where a sample has fewer."""

    def __init__(self, sample_N: Tensor) -> None:
        self.samples, belongs_N = sample_N.unique(return_inverse=True)
        order_N = torch.argsort(belongs_N, stable=True)
        sizes_S = torch.bincount(belongs_N, minlength=len(self.samples))
        self.index = torch.full((len(self.samples), int(sizes_S.max())), NONE)
        within = torch.arange(self.index.shape[1])[None] < sizes_S[:, None]
        self.index[within] = order_N

    def spread(self, values_NF: Tensor, empty: float) -> Tensor:
        """Return values of rows as `[S, P, F]`."""
        found = values_NF[self.index.clamp_min(0)]
        found[self.index == NONE] = empty
        return found


class Kept:
    """For each feature the samples whose largest key is largest, each sample once.

    With the activations as keys these are the strongest, with random keys for active rows they are random ones.

    Attributes:
        key: `[F, K]`.
        sample: `[F, K]`, the numbers of the samples, `NONE` where there are fewer.
        row: `[F, K]`, which row of the sample the key is of.
        acts: `[F, K, P]` float16, the feature's activations in all rows of the sample.
    """

    def __init__(self, features: int, count: int) -> None:
        self.key = torch.full((features, count), NEVER)
        self.sample = torch.full((features, count), NONE)
        self.row = torch.zeros(features, count, dtype=torch.int64)
        self.acts = torch.zeros(features, count, 0, dtype=torch.float16)

    def add(self, keys_SPF: Tensor, acts_SPF: Tensor, samples_S: Tensor) -> None:
        """Look at an input's rows; a key of `NEVER` is not kept."""
        best_SF, row_SF = keys_SPF.max(dim=1)
        count = self.key.shape[1]
        key, place = torch.cat([self.key, best_SF.T], dim=1).topk(
            count, dim=1
        )  # [F, K], of the old and the new
        changed = ((place >= count) & (key > NEVER)).any(1).nonzero().flatten()
        if not len(changed):
            return
        place = place[changed]
        new = acts_SPF[:, :, changed].permute(2, 0, 1).to(torch.float16)
        width = max(self.acts.shape[2], new.shape[2])
        self.acts, new = (torch.nn.functional.pad(one, (0, width - one.shape[2])) for one in (self.acts, new))
        together = torch.cat([self.acts[changed], new], dim=1)
        self.acts[changed] = together.gather(1, place[:, :, None].expand(-1, -1, width))
        self.row[changed] = torch.cat([self.row[changed], row_SF.T[changed]], dim=1).gather(1, place)
        fresh = samples_S[None].expand(len(changed), -1)
        sample = torch.cat([self.sample[changed], fresh], dim=1).gather(1, place)
        self.key[changed] = key[changed]
        self.sample[changed] = sample.masked_fill(self.key[changed] == NEVER, NONE)

    @property
    def samples(self) -> set[int]:
        """The numbers of the samples that are kept for any feature."""
        return set(self.sample.unique().tolist()) - {NONE}
