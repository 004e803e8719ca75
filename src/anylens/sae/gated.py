"""Gated: one map says which latents are active, a scaled copy of it how much. Rajamanoharan et al. 2024,
https://arxiv.org/abs/2404.16014"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from anylens.sae.base import Sae, Terms, dense_terms, squared_error
from anylens.sae.standard import WARM_UP


class Gated(Sae):
    """`b_enc` is the bias of the gate; `r_mag` and `b_mag` scale and shift the magnitudes."""

    variant: ClassVar[str] = "gated"

    def __init__(self, d_in: int, d_sae: int, *, l1: float, seed: int = 0) -> None:
        super().__init__(d_in, d_sae, seed=seed)
        self.l1 = l1
        self.r_mag = nn.Parameter(torch.zeros(d_sae))
        self.b_mag = nn.Parameter(torch.zeros(d_sae))

    def settings(self) -> dict[str, Any]:
        return {"l1": self.l1}

    def activate(self, pre_BF: Tensor) -> Tensor:
        magnitude = ((pre_BF - self.b_enc) * self.r_mag.exp() + self.b_mag).relu()
        return magnitude * (pre_BF > 0)

    def step(self, x_BD: Tensor, dead_F: Tensor, progress: float) -> Terms:
        gate_BF = self.pre(x_BD)
        acts_BF = self.activate(gate_BF)
        weight = self.l1 * min(1.0, progress / WARM_UP)
        open_BF = gate_BF.relu()
        frozen = functional.linear(open_BF, self.decoder.detach().T) + self.b_dec.detach()
        parts = {
            "reconstruction": squared_error(x_BD, acts_BF @ self.decoder + self.b_dec),
            "sparsity": weight * (open_BF * self.decoder.norm(dim=1)).sum(1).mean(),
            "auxiliary": squared_error(x_BD, frozen),
        }
        return dense_terms(x_BD, acts_BF, parts)
