"""What a direct attribution is asked and what it answers: a direction, and what each part contributes to it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from anylens.core.errors import ShapeError, UnknownPointError
from anylens.core.names import split_block


@dataclass(frozen=True)
class Direction:
    """Something that a value can point to.

    Attributes:
        towards: an output by its number (a token, a class); a tensor of such numbers, one for each row of the batch;
            or a direction as a vector, `[d]` or `[batch, d]`: in the space of the head's output (for CLIP an embedding
            of the other side), or of the stream where `at` says so (a probe).
        away: the same, to be taken off: the difference of two.
        at: the state of the stream that the vector is a direction of: `ln_final.hook_normalized`, or a state of a
            block such as `blocks.3.hook_resid_post`. Empty for what the model's head gives, before any factor or cap
            that the model puts on it; of several streams with a head, the prefix of the one that is meant.
    """

    towards: int | Tensor
    away: int | Tensor | None = None
    at: str = ""

    def vector(self, width: int, like: Tensor) -> Float[Tensor, "#batch d"]:
        """Return the direction as a vector for all rows, or for each.

        Raises ShapeError where it has another width or as many rows as the input has not, or a number is outside of it.
        """
        found = _vector(self.towards, width, like)
        return found if self.away is None else found - _vector(self.away, width, like)


def _vector(given: int | Tensor, width: int, like: Tensor) -> Tensor:
    value = torch.as_tensor(given, device=like.device)
    if not value.is_floating_point():
        if not bool(((value >= 0) & (value < width)).all()):
            raise ShapeError(
                f"The numbers of a direction must lie in 0 to {width - 1}, and {given} does not."
            )
        value = functional.one_hot(value.long().reshape(-1), width)
    if value.shape[-1] != width or value.dim() > 2:
        raise ShapeError(
            f"A direction here is [{width}] or [batch, {width}], and was given as {list(value.shape)}."
        )
    if value.dim() == 2 and len(value) not in {1, len(like)}:
        raise ShapeError(f"The direction was given for {len(value)} rows, and the input has {len(like)}.")
    return value.to(like).reshape(-1, width)


@dataclass(frozen=True)
class Part:
    """Something that writes: a point, or one head or neuron of it. `bias` marks what no part of the input changes."""

    point: str
    index: int | None = None
    bias: bool = False

    @property
    def layer(self) -> int | None:
        """The number of its block."""
        found = split_block(self.point)
        return found[1] if found else None

    def __str__(self) -> str:
        return self.point + (f"[{self.index}]" if self.index is not None else " (bias)" if self.bias else "")


@dataclass(frozen=True)
class DirectAttribution:
    """What each part contributes to a direction; the parts sum to `total`, what the model itself has along it.

    values: `[batch, part]`, or `[batch, pos, part]` where several positions were asked for.
    """

    parts: tuple[Part, ...]
    values: Float[Tensor, "batch *pos part"]
    total: Float[Tensor, "batch *pos"]

    def __getitem__(self, point: str) -> Float[Tensor, "batch *pos"]:
        """Return what all parts of a point contribute together. Raises UnknownPointError for one that is no part."""
        found = [n for n, part in enumerate(self.parts) if part.point == point]
        if not found:
            raise UnknownPointError.among(point, {part.point for part in self.parts})
        return self.values[..., found].sum(-1)

    def split(self, point: str) -> Float[Tensor, "batch *pos index"]:
        """Return what each head or neuron of a point contributes.

        Raises UnknownPointError for a point that was not split.
        """
        found = [n for n, part in enumerate(self.parts) if part.point == point and part.index is not None]
        if not found:
            raise UnknownPointError.among(
                point, {part.point for part in self.parts if part.index is not None}
            )
        return self.values[..., found]

    def strongest(self, count: int = 10) -> list[tuple[str, float]]:
        """Return the parts that contribute most in size, as a mean over rows, with that mean."""
        means = self.values.flatten(0, -2).mean(0)
        order = means.abs().argsort(descending=True)[:count].tolist()
        return [(str(self.parts[n]), float(means[n])) for n in order]
