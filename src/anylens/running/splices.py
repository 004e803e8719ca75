"""Splices: coders at points of a model, such as sparse autoencoders, whose codes are points themselves.

A coder reads the value at a point as rows: the features of the point last, everything else before. What it makes of
them can be read and edited like anything else in a run.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import torch

from anylens.anatomy.points import Point
from anylens.core.axes import feature_axis
from anylens.core.errors import EditError, ShapeError

ACTS, RECON, ERROR = "hook_acts", "hook_recon", "hook_error"
Visit = Callable[[str, torch.Tensor], torch.Tensor | None]


class Coder(Protocol):
    """What can be spliced in: it turns rows `[..., d_in]` into codes `[..., d_sae]`, and codes into rows."""

    d_in: int
    d_sae: int

    def encode(self, x: torch.Tensor, /) -> torch.Tensor:
        """Return the codes of rows."""
        ...

    def decode(self, acts: torch.Tensor, /) -> torch.Tensor:
        """Return the rows that codes stand for."""
        ...


@dataclass(frozen=True, eq=False)
class Splice:
    """A coder at a point; `keeps_error` says whether what it does not explain is added back."""

    base: Point
    coder: Coder
    keeps_error: bool = True

    @cached_property
    def points(self) -> dict[str, Point]:
        """The points inside, by the last part of their names."""
        base, axis = self.base, feature_axis(self.base.axes)
        rest = [n for n in range(len(base.axes)) if n != axis]
        axes = (*(base.axes[n] for n in rest), "feature")
        shape = (*(base.shape[n] for n in rest), self.coder.d_sae)
        plain = replace(base, kind="spliced", reader=None, layout=None, lead=None, lead_dims=())
        found = {ACTS: replace(plain, axes=axes, shape=shape), RECON: plain}
        if self.keeps_error:
            found[ERROR] = plain
        return {last: replace(point, name=f"{base.name}.sae.{last}") for last, point in found.items()}

    def through(self, value: torch.Tensor, visit: Visit) -> torch.Tensor | None:
        """Take a value through the coder, and return what the model goes on with; None leaves it as it is.

        `visit` is called at each point inside with the value there, and gives back its replacement, or None. While
        the error is kept and nothing is replaced, the model goes on with its own value, bit for bit. The error has no
        graph: gradients pass through the codes.
        """
        axis = feature_axis(self.base.axes)
        rows = value.movedim(axis, -1)
        acts = self.coder.encode(rows)
        recon = self.coder.decode(acts).movedim(-1, axis)
        error = (value.to(recon.dtype) - recon).detach()
        new_acts = visit(ACTS, acts)
        if new_acts is not None:
            recon = self.coder.decode(new_acts).movedim(-1, axis)
        new_recon = visit(RECON, recon)
        whole = recon if new_recon is None else new_recon
        if not self.keeps_error:
            return whole.to(value.dtype)
        new_error = visit(ERROR, error)
        if new_acts is None and new_recon is None and new_error is None:
            return None
        return (whole + (error if new_error is None else new_error)).to(value.dtype)


def splices_of(coders: Mapping[str, Any], bases: Iterable[Point], *, keeps_error: bool) -> list[Splice]:
    """Return a splice for each point and its coder.

    Raises:
        EditError: something is no coder.
        ShapeError: a coder takes rows of another width than the point has.
    """
    found = []
    for (name, coder), base in zip(coders.items(), bases, strict=True):
        if not all(hasattr(coder, what) for what in ("encode", "decode", "d_in", "d_sae")):
            raise EditError(
                f"{type(coder).__name__} cannot be spliced in at {name}: it needs encode, decode, d_in and d_sae."
            )
        width = base.shape[feature_axis(base.axes)]
        if width != coder.d_in:
            raise ShapeError(
                f"The autoencoder for {name} takes rows of {coder.d_in}, and {base.name} has rows of {width}."
            )
        found.append(Splice(base, coder, keeps_error))
    return found


def points_inside(splices: Mapping[str, Splice]) -> tuple[list[Point], dict[str, str]]:
    """Return the points inside some splices, and aliases for those that were given by another name than the point's."""
    points: list[Point] = []
    aliases: dict[str, str] = {}
    for name, splice in splices.items():
        points += splice.points.values()
        if name != splice.base.name:
            aliases |= {f"{name}.sae.{last}": point.name for last, point in splice.points.items()}
    return points, aliases
