"""Standard: rectified latents, kept few by an L1 penalty.

Bricken et al. 2023, https://transformer-circuits.pub/2023/monosemantic-features; the penalty is weighted by decoder
norms as in https://transformer-circuits.pub/2024/april-update
"""

from typing import Any, ClassVar

from torch import Tensor

from anylens.sae.base import Sae, Terms, dense_terms, squared_error

WARM_UP = 0.05  # of the training, during which the penalty grows to its full weight


class Standard(Sae):
    """Latents are rectified pre-activations; `l1` weighs the sum of the activations of a row."""

    variant: ClassVar[str] = "standard"

    def __init__(self, d_in: int, d_sae: int, *, l1: float, seed: int = 0) -> None:
        super().__init__(d_in, d_sae, seed=seed)
        self.l1 = l1

    def settings(self) -> dict[str, Any]:
        return {"l1": self.l1}

    def activate(self, pre_BF: Tensor) -> Tensor:
        return pre_BF.relu()

    def step(self, x_BD: Tensor, dead_F: Tensor, progress: float) -> Terms:
        acts_BF = self.activate(self.pre(x_BD))
        weight = self.l1 * min(1.0, progress / WARM_UP)
        parts = {
            "reconstruction": squared_error(x_BD, acts_BF @ self.decoder + self.b_dec),
            "sparsity": weight * (acts_BF * self.decoder.norm(dim=1)).sum(1).mean(),
        }
        return dense_terms(x_BD, acts_BF, parts)
