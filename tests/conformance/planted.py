"""Ways to plant a bug: in the points of an anatomy, or in the code that runs."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import anylens
from anylens.anatomy.anatomy import Anatomy
from anylens.anatomy.points import Point
from anylens.lens import Lens

Change = Callable[[Anatomy], Anatomy]


def lens_on(made, change: Change | None = None) -> tuple[Lens, object]:
    """A lens on a made model, with its anatomy changed."""
    model, example = made
    lens = anylens.attach(model, example)
    if change is not None:
        lens = Lens(model, anatomy=change(lens.anatomy))
    return lens, example


def points(change: Callable[[dict[str, Point]], Iterable[Point]]) -> Change:
    """Change the canonical points of an anatomy, given by name."""

    def changed(anatomy: Anatomy) -> Anatomy:
        found = {point.name: point for point in anatomy.canonical}
        return replace(anatomy, canonical=tuple(change(found)))

    return changed


def moved(**where: str) -> Change:
    """Give points (by their last names, in every block) the place of another point of the block."""
    return points(lambda found: [_moved(found, point, where) for point in found.values()])


def _moved(found: dict[str, Point], point: Point, where: dict[str, str]) -> Point:
    stem, _, last = point.name.rpartition(".")
    other = found.get(f"{stem}.{where[last]}") if last in where else None
    if other is None:
        return point
    return replace(
        point, tap=other.tap, reader=other.reader, layout=other.layout, axes=other.axes, shape=other.shape
    )


def only(name: str, change: Callable[[Point], Point]) -> Change:
    """Change the points whose names end so."""
    return points(lambda found: [change(p) if p.name.endswith(name) else p for p in found.values()])
