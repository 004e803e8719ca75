"""JumpReLU: a latent is active above a threshold of its own, which is learnt. Rajamanoharan et al. 2024,
https://arxiv.org/abs/2407.14435"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from anylens.sae.base import Sae, Terms, dense_terms, squared_error
from anylens.sae.standard import WARM_UP


class JumpRelu(Sae):
    """`l0` weighs the number of active latents of a row; within `bandwidth` of a threshold its gradient is not zero."""

    variant: ClassVar[str] = "jumprelu"

    def __init__(
        self,
        d_in: int,
        d_sae: int,
        *,
        l0: float,
        threshold: float = 0.01,
        bandwidth: float = 0.05,
        seed: int = 0,
    ) -> None:
        super().__init__(d_in, d_sae, seed=seed)
        self.l0, self.bandwidth = l0, bandwidth
        self.threshold = nn.Parameter(torch.full((d_sae,), threshold))

    def settings(self) -> dict[str, Any]:
        return {"l0": self.l0, "bandwidth": self.bandwidth}

    def activate(self, pre_BF: Tensor) -> Tensor:
        active: Tensor = _Jump.apply(pre_BF.relu(), self.threshold, self.bandwidth)
        return active

    def step(self, x_BD: Tensor, dead_F: Tensor, progress: float) -> Terms:
        pre_BF = self.pre(x_BD)
        acts_BF = self.activate(pre_BF)
        weight = self.l0 * min(1.0, progress / WARM_UP)
        count_B = _Count.apply(pre_BF.relu(), self.threshold, self.bandwidth).sum(1)
        parts = {
            "reconstruction": squared_error(x_BD, acts_BF @ self.decoder + self.b_dec),
            "sparsity": weight * count_B.mean(),
        }
        return dense_terms(x_BD, acts_BF, parts)

    @torch.no_grad()
    def constrain(self) -> None:
        super().constrain()
        self.threshold.clamp_min_(0)


def _near(pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
    """Return the density that stands for a step's derivative: one over the bandwidth, within it."""
    return ((pre - threshold).abs() < bandwidth / 2).to(pre) / bandwidth


class _Jump(torch.autograd.Function):
    """`pre` where it is above the threshold, with a pseudo-derivative for the threshold (eq. 11)."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        pre, threshold = ctx.saved_tensors
        (grad,) = grads
        at_threshold = -(threshold * _near(pre, threshold, ctx.bandwidth) * grad)
        return grad * (pre > threshold), at_threshold.flatten(0, -2).sum(0), None


class _Count(torch.autograd.Function):
    """One where `pre` is above the threshold, with a pseudo-derivative for the threshold (eq. 12)."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return (pre > threshold).to(pre)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        pre, threshold = ctx.saved_tensors
        (grad,) = grads
        return None, -(_near(pre, threshold, ctx.bandwidth) * grad).flatten(0, -2).sum(0), None
