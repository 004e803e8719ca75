"""TopK: the k largest pre-activations of a row are active. Gao et al. 2024, https://arxiv.org/abs/2406.04093"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from anylens.core.errors import ShapeError
from anylens.sae.base import Sae, Terms
from anylens.sae.sparse_step import Selected, select_topk, sparse_step


class TopK(Sae):
    """`k` latents are active in each row, or fewer where pre-activations are negative.

    Dead latents are revived by a second term (AuxK): they reconstruct, `d_in / 2` of them in each row, what the others
    left over.
    """

    variant: ClassVar[str] = "topk"
    divisible: ClassVar[bool] = True
    screen: bool | None = None  # whether steps find candidates in bfloat16; None is where the hardware helps

    def __init__(self, d_in: int, d_sae: int, *, k: int, auxiliary: float = 1 / 32, seed: int = 0) -> None:
        super().__init__(d_in, d_sae, seed=seed)
        if not 1 <= k <= d_sae:
            raise ShapeError(f"k is between 1 and the {d_sae} latents, and {k} was given.")
        self.k, self.auxiliary = k, auxiliary

    def settings(self) -> dict[str, Any]:
        return {"k": self.k, "auxiliary": self.auxiliary}

    def activate(self, pre_BF: Tensor) -> Tensor:
        values, latents = pre_BF.topk(self.k, dim=-1, sorted=False)
        return torch.zeros_like(pre_BF).scatter(-1, latents, values.relu())

    def step(self, x_BD: Tensor, dead_F: Tensor, progress: float) -> Terms:
        def select(centred_BD: Tensor) -> Selected:
            return select_topk(self, centred_BD, self.k, screen=self.screen)

        return sparse_step(self, x_BD, dead_F, select, self.auxiliary)
