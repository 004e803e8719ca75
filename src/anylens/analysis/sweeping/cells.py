"""Cells: what a sweep edits in each of its runs, from the points and the axes that it goes over."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import index

from jaxtyping import Float
from torch import Size, Tensor

from anylens.analysis.grid import Grid, Label
from anylens.anatomy.points import Point
from anylens.core.errors import AxisError, EditError
from anylens.running.interventions import Index

Place = int | Sequence[int]


@dataclass(frozen=True)
class Windows:
    """Several neighbours at once along an axis: `Windows(3)` holds 0 1 2, then 1 2 3; with a stride of 3, 3 4 5."""

    width: int
    stride: int = 1

    def __post_init__(self) -> None:
        if self.width < 1 or self.stride < 1:
            raise AxisError(
                f"Windows are at least 1 wide and 1 apart, and were given as {self.width} and {self.stride}."
            )

    def over(self, count: int) -> list[tuple[int, ...]]:
        """Return the windows on an axis with so many positions."""
        return [tuple(range(n, n + self.width)) for n in range(0, count - self.width + 1, self.stride)]


Places = Iterable[Place] | Windows | None
Over = str | Iterable[str] | Mapping[str, Places]


@dataclass(frozen=True)
class Cell:
    """One cell: by name the points that are edited in it, with where on their axes; and the steps, if not all."""

    parts: Mapping[str, Mapping[str, Index]]
    steps: tuple[int, ...] | None = None

    def at(self, step: int) -> Mapping[str, Mapping[str, Index]]:
        """Return the parts that are edited in a step."""
        return self.parts if self.steps is None or step in self.steps else {}


@dataclass(frozen=True)
class Cells:
    """The cells of a sweep in order, and the axes that they lie along."""

    cells: tuple[Cell, ...]
    axes: tuple[str, ...]
    coordinates: Mapping[str, tuple[Label, ...]]

    @property
    def shape(self) -> tuple[int, ...]:
        """How many cells lie along each axis."""
        return tuple(len(self.coordinates[axis]) for axis in self.axes)

    def grid(
        self, values: Float[Tensor, "cell row"], base: Float[Tensor, "row"], source: Tensor | None
    ) -> Grid:
        """Lay out one number for each cell and row."""
        rows = len(base)
        return Grid(
            values.T.reshape(rows, *self.shape),
            ("row", *self.axes),
            {"row": tuple(range(rows)), **self.coordinates},
            base.cpu(),
            None if source is None else source.cpu(),
        )


def cells_of(points: Sequence[Point], shapes: Mapping[str, Size], steps: int, over: Over) -> Cells:
    """Lay out the cells of a sweep over all points and, of each, the places on some axes.

    The first axis is that of the points: `layer` where they differ by the number of their block alone, else `point`.
    Where `over` names `layer` itself, its places are layers, and all points of a layer are edited together.

    Args:
        points: what is edited.
        shapes: what shape each has, by name, in the run that is edited.
        steps: how many steps that run has.
        over: names of axes, of which every position is a place; or axes with their places, each a position, several
            that are edited together, or `Windows`. `step` stands for the steps of the run.

    Raises:
        AxisError: a point lacks an axis or a position, or the points differ in size and no places are named.
        EditError: an axis is named twice, or cannot be edited by itself.
    """
    asked = _asked(over)
    sizes = {axis: _size(axis, points, shapes, steps) for axis in asked if axis != "layer"}
    chosen = {axis: _places(axis, asked[axis], sizes[axis]) for axis in sizes}
    rows = _layers(points, asked["layer"]) if "layer" in asked else _each(points)
    axis = "layer" if all(isinstance(label, int) for label, _ in rows) or "layer" in asked else "point"
    coordinates: dict[str, tuple[Label, ...]] = {axis: tuple(label for label, _ in rows)}
    coordinates |= {axis: tuple(map(_label, places)) for axis, places in chosen.items()}
    found = []
    for (_, names), places in itertools.product(rows, itertools.product(*chosen.values())):
        where = dict(zip(chosen, places, strict=True))
        when = where.pop("step", None)
        found.append(Cell(dict.fromkeys(names, where), when))
    return Cells(tuple(found), tuple(coordinates), coordinates)


def _asked(over: Over) -> dict[str, Places]:
    if isinstance(over, Mapping):
        return dict(over)
    if not isinstance(over, Iterable):
        raise EditError(
            f"over takes names of axes, such as 'pos head', or a mapping to their places, and was given {over!r}. "
            "For whole points give ''."
        )
    names = over.split() if isinstance(over, str) else list(over)
    if len(set(names)) != len(names):
        raise EditError(f"over names each axis once, and was given {' '.join(names)}.")
    return dict.fromkeys(names)


def _each(points: Sequence[Point]) -> list[tuple[Label, tuple[str, ...]]]:
    """Return a row for each point, labelled by its layer where that says which point is meant."""
    forms = {point.name.replace(f".{point.layer}.", ".*.", 1) for point in points}
    layers = {point.layer for point in points}
    if len(forms) == 1 and None not in layers and len(layers) == len(points):
        return [(point.layer or 0, (point.name,)) for point in points]
    return [(point.name, (point.name,)) for point in points]


def _layers(points: Sequence[Point], places: Places) -> list[tuple[Label, tuple[str, ...]]]:
    by_layer: dict[int, list[str]] = {}
    for point in points:
        if point.layer is None:
            raise AxisError(f"{point.name} is in no layer: over cannot name layers.")
        by_layer.setdefault(point.layer, []).append(point.name)
    chosen = _places("layer", places, {max(by_layer) + 1}) if places is not None else [(n,) for n in by_layer]
    empty = [layer for place in chosen for layer in place if layer not in by_layer]
    if empty:
        raise AxisError(f"No point was given in layer {empty[0]}; there are some in {sorted(by_layer)}.")
    return [(_label(place), tuple(name for layer in place for name in by_layer[layer])) for place in chosen]


def _label(place: tuple[int, ...]) -> Label:
    return place[0] if len(place) == 1 else place


def _size(axis: str, points: Sequence[Point], shapes: Mapping[str, Size], steps: int) -> set[int]:
    if axis == "step":
        return {steps}
    for point in points:
        if axis not in point.axes or axis == "batch" or len(shapes[point.name]) != len(point.axes):
            raise AxisError(
                f"{point.name} has axes {' '.join(point.axes)} and shape {list(shapes[point.name])}: it cannot be "
                f"edited along {axis!r}. Name one of its axes other than batch."
            )
    return {shapes[point.name][point.axes.index(axis)] for point in points}


def _listed(axis: str, places: object) -> list[tuple[int, ...]]:
    """Return places as tuples of positions; AxisError for anything else than positions and several of them."""
    given = list(places) if isinstance(places, Iterable) else []
    several = [list(place) if isinstance(place, Sequence | Tensor) else [place] for place in given]
    try:
        found = [tuple(index(position) for position in place) for place in several]
    except TypeError:
        found = [()]
    if not isinstance(places, Iterable) or not all(found):
        raise AxisError(
            f"The places on {axis} are a list of positions, or of several that are edited together, such as "
            f"[0, [1, 2]], and were given as {places!r}."
        )
    return found


def _places(axis: str, places: Places, sizes: set[int]) -> list[tuple[int, ...]]:
    """Return the places on an axis, each checked against every size that it has."""
    if places is None or isinstance(places, Windows):
        if len(sizes) > 1:
            raise AxisError(f"The points have {sorted(sizes)} positions on {axis}. Name the places to edit.")
        found = (places or Windows(1)).over(min(sizes))
    else:
        found = _listed(axis, places)
    outside = [p for place in found for p in place if not all(-size <= p < size for size in sizes)]
    if outside:
        raise AxisError(f"{outside[0]} is outside {axis}, which has {min(sizes)} positions.")
    if not found:
        raise AxisError(f"No places on {axis} were given; it has {min(sizes)} positions.")
    return found
