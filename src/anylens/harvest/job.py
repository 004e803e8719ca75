"""What is harvested: which points and positions of which runs of a lens become rows."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch

from anylens.anatomy.points import Point
from anylens.core.errors import StoreError
from anylens.core.tree import leaves
from anylens.harvest.positions import Positions, chosen, cut, describe, expect_choice, row_axes
from anylens.lens import Lens
from anylens.running.choice import Choice
from anylens.running.examples import Arguments, as_arguments
from anylens.store.rows import Rows, joined

Captured = list[tuple[int, torch.Tensor]]  # the values of a point: step, value


@dataclass(frozen=True)
class Ran:
    """What one input gave: rows by point, the sizes of the axes on which they have their places, and the output.

    The output is None where the run ended behind the last point.
    """

    rows: Mapping[str, Rows]
    extents: Mapping[str, tuple[int, ...]]
    output: Any = None


@dataclass(frozen=True)
class Job:
    """A lens, the points to take rows from, and how; the arguments are those of `anylens.harvest`."""

    lens: Lens
    points: tuple[Point, ...]
    positions: Positions = "all"
    steps: Choice = None
    method: Any = None
    dtype: torch.dtype | None = None

    @classmethod
    def of(cls, lens: Lens, points: str | Iterable[str], *, positions: Positions = "all", **how: Any) -> Self:
        """Look points up by their names or globs.

        Raises UnknownPointError or AbsentPointError for a name that the model lacks, StoreError for positions that are
        no choice.
        """
        expect_choice(positions)
        return cls(lens, lens.points.select(points), positions, **how)

    def inputs(self, data: Iterable[Any]) -> Iterator[Arguments]:
        """Yield inputs as arguments; texts go through the lens's tokenizer. Raises StoreError for a lone input."""
        if isinstance(data, (Mapping, torch.Tensor, str)):
            raise StoreError(
                f"Data are inputs, each a batch, and one {type(data).__name__} was given. Put it in a list."
            )
        for one in data:
            yield self.arguments(one)

    def arguments(self, one: Any) -> Arguments:
        """Return one input as arguments; texts go through the lens's tokenizer."""
        texts = isinstance(one, str) or (isinstance(one, (list, tuple)) and one and isinstance(one[0], str))
        if texts and callable(self.lens.processor):
            listed = [one] if isinstance(one, str) else list(one)
            one = self.lens.processor(listed, return_tensors="pt", padding=len(listed) > 1)
        return as_arguments(one)

    def rows(self, given: Arguments, *, first: int = 0) -> Mapping[str, Rows]:
        """Run the model on one input and return the rows of each point; `first` is the number of its first sample."""
        return self.run(given, first=first).rows

    @torch.no_grad()
    def run(self, given: Arguments, *, first: int = 0, whole: bool = False) -> Ran:
        """Run the model on one input, for its rows; a `whole` run goes on to the end and gives its output too."""
        stepwise = self.steps is not None or self.method is not None
        output, captured = self._recorded(given) if stepwise else self._captured(given, whole=whole)
        found, extents = {}, {}
        for point in self.points:
            found[point.name] = self._cut(captured[point.name], point, given[1], first)
            shape = captured[point.name][0][1].shape
            extents[point.name] = tuple(shape[point.axes.index(axis)] for axis in row_axes(point.axes))
        return Ran(found, extents, output)

    def axes(self) -> dict[str, tuple[str, ...]]:
        """Return the axes on which each point's rows have their places."""
        return {point.name: row_axes(point.axes) for point in self.points}

    def origin(self) -> Mapping[str, Any]:
        """Say what rows are made from; two harvests that agree in it can go on from each other."""
        steps, method = self.steps, self.method
        return {
            "model": type(self.lens.model).__name__,
            "anatomy": self.lens.anatomy.key,
            "points": {point.name: list(point.axes) for point in self.points},
            "layout": repr(self.lens.layout),
            "positions": describe(self.positions),
            "steps": repr(steps) if not callable(steps) else getattr(steps, "__qualname__", "predicate"),
            "method": method
            if isinstance(method, str)
            else getattr(method, "__qualname__", type(method).__name__),
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    def _cut(self, captured: Captured, point: Point, given: Any, first: int) -> Rows:
        layout = self.lens.layout
        parts = []
        for step, value in captured:
            mask = chosen(self.positions, value.shape, point.axes, layout, given)
            parts.append(cut(value.cpu(), point.axes, mask, first=first, step=step))
        if not parts:
            raise StoreError(f"{point.name} has none of the chosen steps.")
        return joined(parts)

    def _captured(self, given: Arguments, *, whole: bool) -> tuple[Any, dict[str, Captured]]:
        """Run one forward, cut behind the last point if not the whole is wanted."""
        args, kwargs = given
        names = [point.name for point in self.points]
        output, cache = self.lens.run_with_cache(
            *args, points=names, stop_early=not whole, to=self.dtype, **kwargs
        )
        return output, {name: [(0, cache[name])] for name in names}

    def _recorded(self, given: Arguments) -> tuple[Any, dict[str, Captured]]:
        """Run step by step; of rows under guidance keep those that follow the prompt."""
        args, kwargs = given
        names = [point.name for point in self.points]
        output, found = self.lens.record(
            *args, points=names, steps=self.steps, method=self.method, to=self.dtype, **kwargs
        )
        captured: dict[str, Captured] = {}
        for name in names:
            batch = found.axes(name).index("batch") if "batch" in found.axes(name) else None
            captured[name] = []
            for step, value in found.items(name):
                kept = step.conditional
                if kept is not None and batch is not None:
                    value = value.index_select(batch, torch.tensor(kept).nonzero().flatten().to(value.device))
                captured[name].append((int(step), value))
        return output, captured


def samples_of(given: Arguments) -> int:
    """Return how many samples an input has: the first size of its first tensor, or the length of its first list."""
    for _, tensor in leaves(given):
        return len(tensor) if tensor.ndim else 1
    args, kwargs = given
    first = next(iter((*args, *kwargs.values())), None)
    return len(first) if isinstance(first, (list, tuple)) else 1
