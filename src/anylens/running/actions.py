"""What is done at a point when a run reaches it: capture the value, or change it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch

from anylens.anatomy.points import Point
from anylens.core.axes import Axes
from anylens.core.errors import DtypeError, EditError, ShapeError
from anylens.running.active import at_rest
from anylens.running.step import Step


@dataclass(frozen=True)
class At:
    """Where a hook is called: the point's name, its axes, the number of its block, and the step of the run.

    `step` is an int that knows more: `at.step.kind`, `at.step.timestep`, see `anylens.Step`.
    """

    name: str
    axes: Axes
    layer: int | None
    step: Step


Hook = Callable[[torch.Tensor, At], torch.Tensor | None]


Hooks = Mapping[str, Hook | list[Hook] | tuple[Hook, ...]]


def listed_hooks(hooks: Hooks) -> Iterator[tuple[str, list[Hook]]]:
    """Yield each name or glob with its hooks as a list.

    Raises EditError for what is no mapping, or has something in it that cannot be called.
    """
    if not isinstance(hooks, Mapping):
        raise EditError(
            f"hooks maps names of points to functions or interventions, and was given {type(hooks).__name__}. "
            'Write hooks={"blocks.0.hook_resid_post": anylens.scale(0.5)}.'
        )
    for name, given in hooks.items():
        listed: list[Any] = list(given) if isinstance(given, (list, tuple)) else [given]
        for hook in listed:
            if not callable(hook):
                raise EditError(
                    f"The hook at {name} is {type(hook).__name__}. Give a function fn(value, at), an intervention "
                    "such as anylens.set_to(...), or a list of these."
                )
        yield name, listed


class Action(Protocol):
    """Something to do with a value: a returned tensor takes its place. One that `looks` leaves the content as it is."""

    looks: ClassVar[bool]

    def __call__(self, value: torch.Tensor, step: Step, /) -> torch.Tensor | None:
        """Look at the value that a point has in a step."""
        ...


@dataclass
class Edit:
    """A hook function of the user's, or an intervention: what it returns is checked before it goes on.

    first, last: the steps at which it was called so far. acted: in how many of its calls it gave a value.
    """

    point: Point
    hook: Hook
    first: Step | None = None
    last: Step | None = None
    acted: int = 0
    looks: ClassVar[bool] = False

    def __call__(self, value: torch.Tensor, step: Step) -> torch.Tensor | None:
        """Call the hook with a copy, so that what it does in place stays with it unless it returns it.

        Models that the hook calls run without hooks of any run.
        """
        at = At(self.point.name, self.point.axes, self.point.layer, step)
        with at_rest():
            new: torch.Tensor | None = self.hook(value.clone(), at)
        self.first, self.last = step if self.first is None else self.first, step
        if new is not None:
            check(self.point, value, new)
            self.acted += 1
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
