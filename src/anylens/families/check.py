"""What each field of a family must be. A family is checked when it registers, not when it first fails."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from anylens.anatomy.functions import StandIn
from anylens.families.family import Family, Matches
from anylens.families.layouts import Layout
from anylens.families.named import Named


def problems_of(value: Any) -> Iterator[str]:
    """Yield what is wrong with a family, each as `field ...: expected ..., found ...`."""
    if not isinstance(value, Family):
        yield f"expected an anylens.families.Family, found {_show(value)}"
        return
    held: dict[str, Any] = {field.name: getattr(value, field.name) for field in fields(value)}
    if not isinstance(held["name"], str) or not held["name"]:
        yield _wrong("name", "a name", held["name"])
    yield from _matches(held["matches"])
    if not callable(held["example"]):
        yield _wrong("example", "a function from a model to example inputs", held["example"])
    for name in ("prefixes", "axes", "aliases"):
        yield from _texts(name, held[name])
    points = held["points"]
    listed = isinstance(points, Mapping) and all(isinstance(one, Named) for one in points.values())
    if not listed and not callable(points):
        yield _wrong("points", "a mapping from string to Named, or a function to one", points)
    yield from _stand_ins(held["stand_ins"])
    layout = held["layout"]
    if layout is not None and not isinstance(layout, Layout) and not callable(layout):
        yield _wrong("layout", "a Layout (Tokens, Patches, Cells), a function to one, or None", layout)
    if not isinstance(held["step"], str) and not callable(held["step"]):
        yield _wrong("step", "the path of a module, or a function from a model to one", held["step"])
    if held["conditional"] is not None and not callable(held["conditional"]):
        yield _wrong("conditional", "a function from a model and arguments to rows", held["conditional"])
    if not isinstance(held["preprocess"], str):
        yield _wrong("preprocess", "the name of an Auto class, such as 'AutoTokenizer'", held["preprocess"])


def _matches(value: Any) -> Iterator[str]:
    if not isinstance(value, Matches):
        yield _wrong("matches", "an anylens.families.Matches", value)
        return
    held: dict[str, Any] = {field.name: getattr(value, field.name) for field in fields(value)}
    for name in ("model_types", "classes", "takes"):
        found = held[name]
        if not isinstance(found, tuple) or not all(isinstance(item, str) for item in found):
            yield _wrong(f"matches.{name}", "a tuple of strings", found)
    if held["when"] is not None and not callable(held["when"]):
        yield _wrong("matches.when", "a function from a model to a bool, or None", held["when"])
    if not (held["model_types"] or held["classes"] or held["when"]):
        yield _wrong("matches", "at least one of model_types, classes and when", value)


def _stand_ins(value: Any) -> Iterator[str]:
    if callable(value):
        return
    listed: list[Any] = list(value) if isinstance(value, tuple) else [value]
    for one in listed:
        if not isinstance(one, StandIn):
            yield _wrong(
                "stand_ins", "a tuple of anylens.anatomy.functions.StandIn, or a function to one", value
            )
            return
        by: Any = one.by
        if not callable(by):
            yield _wrong(f"stand_ins, {one.function}, by", "a function by(visit, *args, **kwargs)", by)
        yield from _texts(f"stand_ins, {one.function}, sites", one.sites)


def _texts(name: str, value: Any) -> Iterator[str]:
    fits = isinstance(value, Mapping) and all(
        isinstance(item, str) for pair in value.items() for item in pair
    )
    if not fits:
        yield _wrong(name, "a mapping from string to string", value)


def _wrong(field: str, expected: str, found: Any) -> str:
    return f"field {field}: expected {expected}, found {_show(found)}"


def _show(value: Any) -> str:
    if value is None or value == "" or value == Matches():
        return "nothing"
    shown = repr(value)
    return f"{shown if len(shown) < 80 else shown[:77] + '...'} ({type(value).__name__})"
