"""Points that a family names: values that every model has somewhere, under the name and axes a field knows them by.

Watching shows such a value (the codes of a quantiser, the answers of several heads) as what leaves a module or an
operation. What it is called, and what its dimensions mean, is for the family to say.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from anylens.anatomy.anatomy import Anatomy
from anylens.anatomy.heads import View, shown_shape
from anylens.anatomy.lookup import Points
from anylens.anatomy.points import Point
from anylens.core.axes import Layout
from anylens.core.errors import FamilyError

_NUMBER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Named:
    """Where a named point is, and what its axes are.

    Attributes:
        at: the name of a native point or of one of an operation. `{n}` is any number, and goes into the name.
        axes: the names of the axes, `"codebook batch pos"`; or how the model's own become those that are shown,
            as einops has it: `"(batch codebook) pos vocabulary -> batch codebook pos vocabulary"`.
        sizes: axis -> the path of its size in the model's config, where a pattern needs to know one.
        flat: the name of a module's input, and which of its dimensions the model has flattened into the first one here:
            `("quantize.hook_in", (0, 2, 3))`; the axes begin with theirs.
    """

    at: str
    axes: str
    sizes: Mapping[str, str] = field(default_factory=dict)
    flat: tuple[str, tuple[int, ...]] = ("", ())


def add_named(anatomy: Anatomy, named: Mapping[str, Named], config: Any) -> Anatomy:
    """Return the anatomy with points of these names, and a reason for each that this model lacks.

    Raises FamilyError where the axes do not fit the value.
    """
    if not named:
        return anatomy
    known = Points(anatomy)
    found: dict[str, Point] = {}
    absent: dict[str, str] = {}
    for name, one in named.items():
        points = dict(_found(known, name, one, config))
        found |= points
        if not points:
            absent[_NUMBER.sub("*", name)] = f"the watched forward did not come by {_NUMBER.sub('*', one.at)}"
    return replace(
        anatomy,
        canonical=(*anatomy.canonical, *found.values()),
        absent=(*anatomy.absent, *absent.items()),
    )


def _found(known: Points, name: str, one: Named, config: Any) -> Iterator[tuple[str, Point]]:
    """Yield each point that a name stands for, the numbers filled in."""
    pattern = _NUMBER.sub(r"(?P<\1>\\d+)", re.sub(r"([.\[\]])", r"\\\1", one.at))
    pool = known.ops if ".op." in f".{one.at}" else known.native
    for at, point in pool.items():
        match = re.fullmatch(pattern, at)
        if match is not None:
            full = _NUMBER.sub(lambda mark, match=match: match[mark[1]], name)  # type: ignore[misc]
            yield full, _renamed(point, full, one, (known, config))


def _renamed(point: Point, name: str, one: Named, of: tuple[Points, Any]) -> Point:
    known, config = of
    if one.flat[0]:
        return _unflattened(point, name, one, known)
    view = _view(one, config)
    rank = len(point.shape)
    try:
        shape = shown_shape(point.shape, view)
    except ValueError as error:
        raise FamilyError(f"The point {name!r}: {error}, so its axes {one.axes!r} are others.") from error
    if len(shape) != len(view.axes):
        raise FamilyError(
            f"The point {name!r} has {rank} axes, {list(point.shape)}, and is given {one.axes!r}."
        )
    return replace(point, name=name, axes=view.axes, shape=shape, layout=view.layout, kind="canonical")


def _unflattened(point: Point, name: str, one: Named, known: Points) -> Point:
    """Return a point that shows its first dimension as those that were flattened into it."""
    lead, dims = known[one.flat[0]], one.flat[1]
    shape, axes = (*(lead.shape[dim] for dim in dims), *point.shape[1:]), tuple(one.axes.split())
    if len(shape) != len(axes):
        raise FamilyError(
            f"The point {name!r} has {len(shape)} axes, {list(shape)}, and is given {one.axes!r}."
        )
    return replace(point, name=name, axes=axes, shape=shape, kind="canonical", lead=lead.tap, lead_dims=dims)


def _view(one: Named, config: Any) -> View:
    source, arrow, target = one.axes.partition(" -> ")
    if not arrow:
        return View(tuple(source.split()))
    sizes = tuple((axis, _size(config, path)) for axis, path in one.sizes.items())
    return View(tuple(target.split()), Layout(one.axes, sizes))


def _size(config: Any, path: str) -> int:
    """Follow a path through a config to a number."""
    value = config
    for step in path.split("."):
        value = getattr(value, step, None)
    if not isinstance(value, int):
        raise FamilyError(f"The config has no number at {path!r}, which the axes of a named point need.")
    return value
