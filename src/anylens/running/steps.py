"""Steps: what a run captured each time it came by, for models that are called again and again."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from anylens.anatomy.points import Point
from anylens.core.axes import Axes
from anylens.core.errors import RunError, UnknownPointError
from anylens.core.markup import table, tag
from anylens.running.capture import Cache, copied
from anylens.running.choice import Chooser
from anylens.running.shelf import Shelf, Target
from anylens.running.step import Step


@dataclass
class Trail:
    """The values of one point, step by step."""

    point: Point
    chooser: Chooser
    target: Target = field(default_factory=Target)
    steps: list[Step] = field(default_factory=list)  # all that there were
    kept: dict[int, torch.Tensor | Shelf] = field(default_factory=dict)
    looks: ClassVar[bool] = True

    def __call__(self, value: torch.Tensor, step: Step) -> None:
        """Keep a copy, if this step may be among the chosen; let go of what no longer can be."""
        number = len(self.steps)
        self.steps.append(step)
        for old in [n for n in self.kept if not self.chooser.may_keep(self.steps[n], number + 1 - n)]:
            dropped = self.kept.pop(old)
            if isinstance(dropped, Shelf):
                dropped.drop()
        if self.chooser.may_keep(step, 1):
            self.kept[number] = self.target.keep(copied(value, self.target.to), f"{self.point.name}.{number}")

    def chosen(self) -> list[int]:
        """Return the numbers of the visits that are chosen, in the order of the choice."""
        return self.chooser.order(self.steps)

    def value(self, number: int) -> torch.Tensor:
        """Return the value of a visit, read back if it was put on disk."""
        held = self.kept[number]
        return held.read() if isinstance(held, Shelf) else held


class Steps:
    """What `record` captured: a sequence of caches, one a step, and each point's values along the steps.

    A point that is reached less often than others (an encoder beside its decoder) has its own, shorter count.
    """

    def __init__(self, trails: Iterable[Trail]) -> None:
        self._trails = {trail.point.name: trail for trail in trails}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the points."""
        return tuple(self._trails)

    def _trail(self, name: str) -> Trail:
        if name not in self._trails:
            raise UnknownPointError.among(name, self._trails)
        return self._trails[name]

    def _some(self, name: str) -> list[torch.Tensor]:
        trail = self._trail(name)
        values = [trail.value(number) for number in trail.chosen()]
        if not values:
            raise RunError(f"{name} has none of the chosen steps: it was reached {len(trail.steps)} times.")
        return values

    def indices(self, name: str) -> list[Step]:
        """Return the steps that a point has: numbers that also say their kind, timestep and so on."""
        trail = self._trail(name)
        return [trail.steps[number] for number in trail.chosen()]

    def items(self, name: str) -> Iterator[tuple[Step, torch.Tensor]]:
        """Yield each chosen step of a point with its value."""
        trail = self._trail(name)
        return ((trail.steps[number], trail.value(number)) for number in trail.chosen())

    def stack(self, name: str) -> torch.Tensor:
        """Return a point's values with a step axis in front: `[step, ...]`; `indices(name)` labels that axis.

        Raises RunError where the steps have different shapes, as the prefill and the decode steps of a generation.
        """
        values = self._some(name)
        shapes = {tuple(value.shape) for value in values}
        if len(shapes) > 1:
            raise RunError(
                f"The steps of {name} have different shapes, {sorted(shapes)}, so they do not stack. "
                f"Use concat({name!r}), which joins them along their positions, or read them one by one."
            )
        return torch.stack(values)

    def concat(self, name: str, axis: str = "pos") -> torch.Tensor:
        """Return a point's values joined along an axis: a generation's positions, prefill and decode.

        Raises RunError where the steps differ in another axis too, as patterns do whose keys grow in number.
        """
        axes = self._trail(name).point.axes
        if axis not in axes:
            raise RunError(f"{name} has no axis {axis!r} to join along. Its axes are {' '.join(axes)}.")
        values, along = self._some(name), axes.index(axis)
        others = {(*value.shape[:along], *value.shape[along + 1 :]) for value in values}
        if len(others) > 1:
            raise RunError(
                f"The steps of {name} differ in other axes than {axis!r}: {sorted(tuple(v.shape) for v in values)} of "
                f"{' '.join(axes)}. Read them one by one: [cache[{name!r}] for cache in steps]."
            )
        return torch.cat(values, dim=along)

    def axes(self, name: str, *, stacked: bool = False) -> Axes:
        """Return the names of a point's axes in one step, or as `stack` gives them, with `step` in front."""
        axes = self._trail(name).point.axes
        return ("step", *axes) if stacked else axes

    def __len__(self) -> int:
        return max((len(trail.chosen()) for trail in self._trails.values()), default=0)

    def __getitem__(self, index: int) -> Cache:
        """Return the cache of the n-th chosen step; points with a shorter count are not in it."""
        if not isinstance(index, int):
            raise RunError(
                f"steps[n] takes one number, and was given {index!r}. Choose with record(steps=...)."
            )
        cache = Cache()
        found = range(len(self))[index]
        for trail in self._trails.values():
            chosen = trail.chosen()
            if found < len(chosen):
                cache.put(trail.point, trail.value(chosen[found]))
        return cache

    def __iter__(self) -> Iterator[Cache]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        rows = [f"  {name}  steps {[int(step) for step in self.indices(name)]}" for name in self._trails]
        return f"{len(self)} steps\n" + "\n".join(rows)

    def _repr_html_(self) -> str:
        """Show a row for each point in a notebook."""
        rows = [
            (name, " ".join(self.axes(name)), ", ".join(str(int(step)) for step in self.indices(name)))
            for name in self._trails
        ]
        return tag("div", f"{len(self)} steps", table(("name", "axes", "steps"), rows))
