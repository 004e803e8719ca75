"""Where among the outputs of a map the features of each head lie."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Columns:
    """Which outputs are a head's features: `count` of them from `start` on, `step` apart."""

    start: int
    step: int
    count: int

    def of(self, tensor: Tensor) -> Tensor:
        """Return them out of a tensor's last dimension, as a view."""
        return tensor[..., self.start : self.start + (self.count - 1) * self.step + 1 : self.step]


def find_columns(
    wanted: Float[Tensor, "row head d_head"], outputs: Float[Tensor, "row feature"]
) -> tuple[tuple[Columns, ...], float] | None:
    """Return the columns of each head and the factor that stands before them; None where a head's are not there.

    The factors tried are 1, the two by which attention is scaled (a head's width to the power -1/2 or -1/4), and, where
    the map has no other outputs, the one that fits best.
    """
    size = wanted.shape[-1]
    factors = [1.0, size**-0.5, size**-0.25]
    if wanted[0].numel() == outputs.shape[1] and bool(outputs.any()):
        factors.append(float(wanted.norm() / outputs.norm()))
    if bool(wanted.any()):
        for factor in factors:
            found = [_columns(wanted[:, head], factor * outputs) for head in range(wanted.shape[1])]
            columns = tuple(one for one in found if one is not None)
            if len(columns) == len(found):
                return columns, factor
    return None


def _columns(wanted: Float[Tensor, "row d_head"], outputs: Float[Tensor, "row feature"]) -> Columns | None:
    """Return where one head's features are, if they lie evenly spaced."""
    apart = torch.cdist(wanted.T.float(), outputs.T.float(), p=torch.inf)
    eps = max(torch.finfo(value.dtype).eps for value in (wanted, outputs))
    start = int(apart[0].argmin())
    step = int(apart[1].argmin()) - start if len(apart) > 1 else 1
    places = start + step * torch.arange(len(apart))
    if step < 1 or int(places[-1]) >= outputs.shape[1]:
        return None
    largest = torch.maximum(wanted.abs().max(), outputs.abs().max())
    fits = apart[torch.arange(len(apart)), places.to(apart.device)].max() <= 200 * eps * largest
    return Columns(start, step, len(apart)) if bool(fits) else None
