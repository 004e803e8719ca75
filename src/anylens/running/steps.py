"""Steps: what a run captured each time it came by, for models that are called again and again."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch

from anylens.anatomy.points import Point
from anylens.core.axes import Axes
from anylens.core.errors import RunError, UnknownPointError
from anylens.running.actions import At
from anylens.running.capture import Cache, To, copied

Choice = int | slice | Iterable[int] | Callable[[int], bool] | None


@dataclass(frozen=True)
class Chooser:
    """Which steps are kept: an int, a list in any order, a slice, a predicate; None keeps all.

    What counts from the end is decided when the end is known; until then every step is kept.
    """

    choice: Choice = None

    def __post_init__(self) -> None:
        """Keep a list of what may be gone through but once; refuse what is no choice of steps."""
        choice = self.choice
        if choice is None or callable(choice):
            return
        parts = (choice.start, choice.stop, choice.step) if isinstance(choice, slice) else choice
        if isinstance(choice, Iterable):
            parts = tuple(choice)
            object.__setattr__(self, "choice", parts)
        listed = parts if isinstance(parts, tuple) else (parts,)
        if not all(
            hasattr(part, "__index__") or (part is None and isinstance(choice, slice)) for part in listed
        ):
            raise RunError(
                f"steps takes an int, a slice, a list of ints or a predicate, and was given {choice!r}."
            )

    def may_keep(self, step: int) -> bool:
        """Whether a step could be among the chosen, before the end is known."""
        choice = self.choice
        if choice is None or self.from_the_end:
            return True
        if callable(choice):
            return bool(choice(step))
        if isinstance(choice, slice):
            return step in range(*choice.indices(step + 1))
        return step in ((choice,) if isinstance(choice, int) else tuple(choice))

    @property
    def from_the_end(self) -> bool:
        """Whether any part of the choice counts from the end."""
        choice = self.choice
        if isinstance(choice, slice):
            return any(part is not None and part < 0 for part in (choice.start, choice.stop, choice.step))
        if choice is None or callable(choice):
            return False
        return any(step < 0 for step in ((choice,) if isinstance(choice, int) else tuple(choice)))

    def order(self, count: int) -> list[int]:
        """Return the chosen of `count` steps, in the order of the choice; steps that never came are left out."""
        choice = self.choice
        if choice is None:
            return list(range(count))
        if callable(choice):
            return [step for step in range(count) if choice(step)]
        if isinstance(choice, slice):
            return list(range(count))[choice]
        listed = (choice,) if isinstance(choice, int) else tuple(choice)
        return [step % count for step in listed if -count <= step < count]


@dataclass
class Trail:
    """The values of one point, step by step, each step counted by the point itself."""

    point: Point
    chooser: Chooser
    to: tuple[To, ...] = ()
    seen: int = 0
    kept: dict[int, torch.Tensor] = field(default_factory=dict)

    def __call__(self, value: torch.Tensor, _: At) -> None:
        """Keep a copy, if this step may be among the chosen."""
        if self.chooser.may_keep(self.seen):
            self.kept[self.seen] = copied(value, self.to)
        self.seen += 1

    def values(self) -> list[tuple[int, torch.Tensor]]:
        """Return the chosen steps with their values."""
        return [(step, self.kept[step]) for step in self.chooser.order(self.seen)]


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

    def _values(self, name: str) -> list[tuple[int, torch.Tensor]]:
        if name not in self._trails:
            raise UnknownPointError.among(name, self._trails)
        return self._trails[name].values()

    def _some(self, name: str) -> list[torch.Tensor]:
        values = [value for _, value in self._values(name)]
        if not values:
            raise RunError(
                f"{name} has none of the chosen steps: it was reached {self._trails[name].seen} times."
            )
        return values

    def indices(self, name: str) -> list[int]:
        """Return the numbers of the steps that a point has, counted by the point itself."""
        return [step for step, _ in self._values(name)]

    def stack(self, name: str) -> torch.Tensor:
        """Return a point's values with a step axis in front: `[step, ...]`.

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
        """Return a point's values joined along an axis: a generation's positions, prefill and decode."""
        axes = self.axes(name)
        if axis not in axes:
            raise RunError(f"{name} has no axis {axis!r} to join along. Its axes are {' '.join(axes)}.")
        return torch.cat(self._some(name), dim=axes.index(axis))

    def axes(self, name: str) -> Axes:
        """Return the names of a point's axes in one step; `stack` puts `step` before them."""
        self._values(name)
        return self._trails[name].point.axes

    def __len__(self) -> int:
        return max((len(trail.values()) for trail in self._trails.values()), default=0)

    def __getitem__(self, index: int) -> Cache:
        """Return the cache of the n-th chosen step; points with a shorter count are not in it."""
        cache = Cache()
        found = range(len(self))[index]
        for trail in self._trails.values():
            values = trail.values()
            if found < len(values):
                cache.put(trail.point, values[found][1])
        return cache

    def __iter__(self) -> Iterator[Cache]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        rows = [f"  {name}  steps {self.indices(name)}" for name in self._trails]
        return f"{len(self)} steps\n" + "\n".join(rows)
