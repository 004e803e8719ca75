"""BatchTopK: the k * B largest pre-activations of a batch are active. Bussmann et al. 2024, https://arxiv.org/abs/2412.06410"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from anylens.core.errors import ShapeError
from anylens.sae.base import Sae, Terms
from anylens.sae.sparse import Pairs
from anylens.sae.sparse_step import Selected, pre_activations, sparse_step


class BatchTopK(Sae):
    """`k` latents are active in a row on average, over the batch in training.

    In use a latent is active above `threshold`, the running mean of the smallest activation of a batch, so that a row's
    activations do not depend on the rows beside it.
    """

    variant: ClassVar[str] = "batchtopk"
    common: ClassVar[frozenset[str]] = Sae.common | {"threshold"}
    divisible: ClassVar[bool] = True
    threshold: Tensor
    PACE = 0.01  # of the running mean

    def __init__(self, d_in: int, d_sae: int, *, k: int, auxiliary: float = 1 / 32, seed: int = 0) -> None:
        super().__init__(d_in, d_sae, seed=seed)
        if not 1 <= k <= d_sae:
            raise ShapeError(f"k is between 1 and the {d_sae} latents, and {k} was given.")
        self.k, self.auxiliary = k, auxiliary
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))

    def settings(self) -> dict[str, Any]:
        return {"k": self.k, "auxiliary": self.auxiliary}

    def activate(self, pre_BF: Tensor) -> Tensor:
        return pre_BF.relu() * (pre_BF > self.threshold.to(pre_BF.dtype))

    def step(self, x_BD: Tensor, dead_F: Tensor, progress: float) -> Terms:
        return sparse_step(self, x_BD, dead_F, self._select, self.auxiliary)

    def _select(self, centred_BD: Tensor) -> Selected:
        """Select exactly: the batch's largest, as rows of equal length that zeros fill up."""
        pre_BF = pre_activations(self, centred_BD)
        wanted = self.k * self.across.rows(len(pre_BF))
        largest, flat = pre_BF.flatten().topk(min(wanted, pre_BF.numel()))
        flat = flat[: self.across.largest_of_batch(largest, wanted)]
        rows, latents = flat // pre_BF.shape[1], flat % pre_BF.shape[1]
        order = torch.argsort(rows, stable=True)
        rows, latents = rows[order], latents[order]
        counts = torch.bincount(rows, minlength=len(pre_BF))
        longest = max(1, int(counts.max()))
        places = torch.arange(len(flat), device=rows.device) - (counts.cumsum(0) - counts)[rows]
        values_BK = pre_BF.new_zeros(len(pre_BF), longest)
        latents_BK = rows.new_zeros(len(pre_BF), longest)
        values_BK[rows, places], latents_BK[rows, places] = pre_BF[rows, latents].relu(), latents
        self._learn_threshold(values_BK)
        return Selected(Pairs(values_BK, latents_BK), pre_BF)

    def _learn_threshold(self, values_BK: Tensor) -> None:
        if self.training:
            positive = torch.where(values_BK > 0, values_BK, torch.inf)
            least = self.across.least(positive.min().double())
            learnt = (1 - self.PACE) * self.threshold + self.PACE * least
            self.threshold.copy_(torch.where(least.isfinite(), learnt, self.threshold))
