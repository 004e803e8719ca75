"""What is done at a point when a run reaches it: capture the value, or change it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from anylens.anatomy.points import Point
from anylens.core.axes import Axes
from anylens.core.errors import DtypeError, EditError, ShapeError


@dataclass(frozen=True)
class At:
    """Where a hook is called: the point's name, its axes, the number of its block, and the step of the run."""

    name: str
    axes: Axes
    layer: int | None
    step: int


Hook = Callable[[torch.Tensor, At], torch.Tensor | None]


class Action(Protocol):
    """Something to do with a value: a returned tensor takes its place."""

    def __call__(self, value: torch.Tensor, at: At, /) -> torch.Tensor | None:
        """Look at the value at a point."""
        ...


@dataclass(frozen=True)
class Edit:
    """A hook function of the user's, or an intervention: what it returns is checked before it goes on."""

    point: Point
    hook: Hook

    def __call__(self, value: torch.Tensor, at: At) -> torch.Tensor | None:
        """Call the hook with a copy, so that what it does in place stays with it unless it returns it."""
        new: torch.Tensor | None = self.hook(value.clone(), at)
        if new is not None:
            check(self.point, value, new)
        return new


def check(point: Point, old: torch.Tensor, new: object) -> None:
    """Refuse a value that cannot stand in for another.

    Raises:
        DtypeError: it is not a tensor, or has another dtype.
        ShapeError: it has another shape.
        EditError: it is on another device.
    """
    if not isinstance(new, torch.Tensor):
        raise DtypeError(
            f"The hook at {point.name} returned {type(new).__name__}. Return a tensor, or None to keep the value."
        )
    if new.shape != old.shape:
        axes = ", ".join(f"{axis} {size}" for axis, size in zip(point.axes, old.shape, strict=False))
        raise ShapeError(
            f"The hook at {point.name} returned shape {list(new.shape)} for a value of shape {list(old.shape)} "
            f"({axes})."
        )
    if new.dtype != old.dtype:
        raise DtypeError(
            f"The hook at {point.name} returned {new.dtype} for a value of {old.dtype}. Return value.to({old.dtype})."
        )
    if new.device != old.device:
        raise EditError(
            f"The hook at {point.name} returned a tensor on {new.device} for a value on {old.device}."
        )
