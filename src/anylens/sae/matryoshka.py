"""Matryoshka: every prefix of the latents reconstructs by itself. Bussmann et al. 2025, https://arxiv.org/abs/2503.17547"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from anylens.core.errors import ShapeError
from anylens.sae.base import Sae, Terms
from anylens.sae.sparse import Pairs, decode, gradients
from anylens.sae.sparse_step import Selected, add, select_topk, sparse_step


class Matryoshka(Sae):
    """TopK whose first `widths[0]` latents, first `widths[1]` latents and so on each reconstruct, all terms summed."""

    variant: ClassVar[str] = "matryoshka"
    divisible: ClassVar[bool] = True
    screen: bool | None = None  # whether steps find candidates in bfloat16; None is where the hardware helps

    def __init__(
        self,
        d_in: int,
        d_sae: int,
        *,
        k: int,
        widths: Sequence[int] = (),
        auxiliary: float = 1 / 32,
        seed: int = 0,
    ) -> None:
        super().__init__(d_in, d_sae, seed=seed)
        chosen = tuple(widths) or tuple(sorted({max(1, d_sae // 16), max(1, d_sae // 4), d_sae}))
        rising = all(a < b for a, b in zip((0, *chosen), chosen, strict=False))
        if not 1 <= k <= d_sae or not rising or chosen[-1] != d_sae:
            raise ShapeError(
                f"widths rise to the {d_sae} latents, and k is among them; given were {chosen} and {k}."
            )
        self.k, self.widths, self.auxiliary = k, chosen, auxiliary

    def settings(self) -> dict[str, Any]:
        return {"k": self.k, "widths": list(self.widths), "auxiliary": self.auxiliary}

    def activate(self, pre_BF: Tensor) -> Tensor:
        values, latents = pre_BF.topk(self.k, dim=-1, sorted=False)
        return torch.zeros_like(pre_BF).scatter(-1, latents, values.relu())

    def step(self, x_BD: Tensor, dead_F: Tensor, progress: float) -> Terms:
        kept: list[Pairs] = []

        def select(centred_BD: Tensor) -> Selected:
            selected = select_topk(self, centred_BD, self.k, screen=self.screen)
            kept.append(selected.pairs)
            return selected

        outer = sparse_step(self, x_BD, dead_F, select, self.auxiliary)
        inner = torch.stack(
            [self._inner(x_BD, kept[0], width) for width in self.widths[:-1]] or [outer.loss * 0]
        )
        parts = {**outer.parts, "inner": inner.sum()}
        return replace(outer, loss=outer.loss + parts["inner"], parts=parts)

    @torch.no_grad()
    def _inner(self, x_BD: Tensor, pairs: Pairs, width: int) -> Tensor:
        """Add the gradients of what the first latents reconstruct alone."""
        some = Pairs(pairs.values * (pairs.latents + self.across.first < width), pairs.latents)
        error_BD = self.across.total(decode(some, self.decoder)) + self.b_dec - x_BD
        slope = 2 / len(x_BD)
        found = gradients(some, slope * error_BD, x_BD - self.b_dec, (self.encoder, self.decoder))
        add(self, found, slope * error_BD.sum(0))
        return error_BD.pow(2).sum(1).mean()
