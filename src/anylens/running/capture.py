"""Captured values: detached copies, each under the name of its point."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from anylens.anatomy.points import Point
from anylens.core.axes import Axes
from anylens.core.errors import RunError, UnknownPointError
from anylens.core.markup import table, tag
from anylens.running.step import Step

To = torch.device | torch.dtype | str | None


class Cache(Mapping[str, torch.Tensor]):
    """The tensors that a run captured, by the names of their points; `axes` says what their dimensions are.

    An alias finds its point's tensor too, though it is not listed.
    """

    def __init__(self, aliases: Mapping[str, str] | None = None) -> None:
        self._values: dict[str, torch.Tensor] = {}
        self._points: dict[str, Point] = {}
        self._aliases = aliases or {}

    def __getitem__(self, name: str) -> torch.Tensor:
        name = self._aliases.get(name, name)
        if name not in self._values:
            raise UnknownPointError.among(name, self._values)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._aliases.get(name, name) in self._values

    def axes(self, name: str) -> Axes:
        """Return the names of a captured tensor's axes."""
        self[name]
        return self._points[self._aliases.get(name, name)].axes

    def put(self, point: Point, value: torch.Tensor) -> None:
        """Keep a value; a point that is reached again in the same run has no one value."""
        if point.name in self._values:
            raise RunError(
                f"{point.name} was reached more than once in this run, so it has no one value. "
                "Narrow the run to one forward, name one call (`<module path>.calls.<k>...`), "
                "or use record(), which keeps every step."
            )
        self._values[point.name] = value
        self._points[point.name] = point

    def __repr__(self) -> str:
        rows = [f"  {name}  {' '.join(self._points[name].axes)}  {list(v.shape)}" for name, v in self.items()]
        return f"Cache of {len(self)} points\n" + "\n".join(rows)

    def _repr_html_(self) -> str:
        """Show a row for each point in a notebook."""
        rows = [
            (name, " ".join(self._points[name].axes), list(v.shape), str(v.dtype).removeprefix("torch."))
            for name, v in self.items()
        ]
        return tag("div", f"{len(self)} points", table(("name", "axes", "shape", "dtype"), rows))


@dataclass(frozen=True)
class Capture:
    """Keeps a copy of the value at a point, on another device or in another dtype if that is asked for."""

    point: Point
    cache: Cache
    to: tuple[To, ...] = ()
    looks: ClassVar[bool] = True

    def __call__(self, value: torch.Tensor, _: Step) -> None:
        """Copy the value."""
        self.cache.put(self.point, copied(value, self.to))


@dataclass(frozen=True)
class CaptureGraph:
    """Keeps the value itself, on the way from the model's inputs to its output, so that gradients reach it.

    The model goes on with a copy: nothing that it does in place later changes what was captured.
    """

    point: Point
    cache: Cache
    looks: ClassVar[bool] = True

    def __call__(self, value: torch.Tensor, _: Step) -> torch.Tensor:
        """Keep the value, and give back a copy that the gradient passes."""
        if value.is_floating_point() and not value.requires_grad:
            value = value.detach().requires_grad_()
        elif value.requires_grad and not value.is_leaf:
            value.retain_grad()
        self.cache.put(self.point, value)
        return value.clone()


def copied(value: torch.Tensor, to: tuple[To, ...] = ()) -> torch.Tensor:
    """Return a detached copy of a value; integers keep their dtype where another floating point one is asked for."""
    moved = value.detach()
    if not to:
        return moved.clone(memory_format=torch.contiguous_format)
    for target in to:
        if not (isinstance(target, torch.dtype) and not value.is_floating_point()):
            moved = moved.to(target)
    fresh = (
        moved if moved.untyped_storage().data_ptr() != value.untyped_storage().data_ptr() else moved.clone()
    )
    return fresh.contiguous()


def targets(to: To | tuple[To, ...]) -> tuple[To, ...]:
    """Read `to=`: a device, a dtype, or both.

    Raises RunError for anything else, and for a device that torch does not know.
    """
    given = tuple(to) if isinstance(to, (tuple, list)) else (to,)
    return tuple(_target(target) for target in given if target is not None)


def _target(target: To) -> To:
    try:
        return target if isinstance(target, (torch.dtype, torch.device)) else torch.device(str(target))
    except RuntimeError as error:
        raise RunError(f"to takes a device, a dtype or both, and was given {target!r}.") from error
