"""From one state of a residual stream to the next as a linear map: what stands between them, frozen as it was in a run.

A norm divides by a number that it computes from its input. With that number kept at its value in the run, the norm is
a linear map plus a bias, and what each part of its input becomes can be told (Elhage et al. 2021, "A Mathematical
Framework for Transformer Circuits", https://transformer-circuits.pub/2021/framework/index.html).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from anylens.core.errors import AnatomyError

Norm = Callable[[Tensor], Tensor]
_LARGE = 100.0  # a probe beside which the small number that keeps a norm from dividing by zero does not count


@dataclass(frozen=True)
class Carry:
    """`y = gain * weight * (x - mean of x, if centred) + bias`, row by row.

    weight and bias are by feature, weight may also differ by batch; gain is by row.
    """

    gain: Float[Tensor, "batch pos 1"]
    weight: Float[Tensor, "#batch 1 d_model"]
    bias: Float[Tensor, "1 1 d_model"]
    centred: bool = False

    def push(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """Return what a state becomes."""
        return self.linear(x) + self.bias

    def linear(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """Return what a part of a state becomes: the map without its bias."""
        return self.gain * self.weight * (x - x.mean(-1, keepdim=True) if self.centred else x)

    def pull(self, direction: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """Return the direction before the map that says as much of a part as the given one does behind it."""
        back = self.gain * self.weight * direction
        return back - back.mean(-1, keepdim=True) if self.centred else back


def unchanged(x: Float[Tensor, "batch pos d_model"]) -> Carry:
    """Return the carry that leaves a state as it is."""
    return Carry(torch.ones_like(x[..., :1]), torch.ones_like(x[:1, :1]), torch.zeros_like(x[:1, :1]))


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two values are equal but for rounding."""
    if one.shape != other.shape:
        return False
    return bool((one - other).abs().max() <= tolerance(one) * other.abs().max())


def tolerance(value: Tensor) -> float:
    """Return how far rounding may take two ways of computing a value apart, in proportion to its largest number."""
    return 100 * torch.finfo(value.dtype).eps if value.is_floating_point() else 0.0


def find_carry(
    x: Float[Tensor, "batch pos d_model"],
    y: Float[Tensor, "batch pos d_model"],
    norms: Iterable[Norm] = (),
    *,
    what: str,
) -> Carry:
    """Return what takes one state to another: nothing, one of some norms, or a factor for each feature.

    `what` names the two for the error. Raises AnatomyError where it is none of these.
    """
    if same(x, y):
        return unchanged(x)
    for norm in norms:
        if same(norm(x), y):
            return frozen(norm, x)
    scaled = _scaled(x, y)
    if same(scaled.push(x), y):
        return scaled
    raise AnatomyError(
        f"Between {what} the stream is neither left as it is, nor normalised, nor scaled by feature, so its parts "
        "cannot be followed. Ask for a direction at a point before that (Direction(..., at=...))."
    )


def _scaled(x: Tensor, y: Tensor) -> Carry:
    """Return the factors nearest to taking x to y: one for all, else one for each feature of each row of the batch."""
    one = unchanged(x)
    whole = (x * y).sum() / (x * x).sum()
    if same(whole * x, y) or x.shape[1] < 2:
        return Carry(one.gain, one.weight * whole, one.bias)
    return Carry(one.gain, (x * y).sum(1, keepdim=True) / (x * x).sum(1, keepdim=True), one.bias)


@torch.no_grad()
def frozen(norm: Norm, x: Float[Tensor, "batch pos d_model"]) -> Carry:
    """Return a norm as the linear map that it is while its denominator stays what it is on x.

    What kind of norm it is shows in what it does: its bias is what it makes of zeros, its weight what it makes of a
    vector of known length without a mean, and whether it takes off the mean is what fits its output on x.

    >>> norm = torch.nn.LayerNorm(6)
    >>> x = torch.randn(1, 2, 6)
    >>> bool(torch.allclose(frozen(norm, x).push(x), norm(x), atol=1e-6))
    True

    Raises AnatomyError for a module that does not divide each row by one number.
    """
    probe = _without_mean(x)
    bias = norm(torch.zeros_like(probe))
    weight = (norm(probe) - bias) / probe * probe.square().mean().sqrt()
    wanted = norm(x) - bias
    if wanted.shape != x.shape:
        raise AnatomyError(
            f"A norm that takes {list(x.shape)} to {list(wanted.shape)} is not one of each row."
        )
    found = []
    for centred in (True, False):
        core = weight * (x - x.mean(-1, keepdim=True) if centred else x)
        gain = (core * wanted).sum(-1, keepdim=True) / (core * core).sum(-1, keepdim=True)
        error = float((gain * core - wanted).abs().max())
        found.append((error, Carry(gain, weight, bias, centred)))
    error, best = min(found, key=lambda pair: pair[0])
    if not error <= tolerance(wanted) * float(wanted.abs().max()):
        raise AnatomyError(
            "A norm on this stream does not divide each row by one number, so it cannot be frozen: the nearest such "
            f"map is {error:.2g} off."
        )
    return best


def _without_mean(x: Tensor) -> Tensor:
    """Return one large row whose features sum to zero, none of them zero."""
    signs = torch.ones(x.shape[-1])
    signs[1::2] = -1
    if len(signs) % 2:
        signs[:3] = torch.tensor([2.0, -1.0, -1.0])
    return (_LARGE * signs).to(x).reshape(1, 1, -1)
