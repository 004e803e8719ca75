"""Anatomies as JSON: plain dataclasses, tuples as lists, read back by their types."""

import dataclasses
import json
import types
import typing
from typing import Any

from anylens.anatomy.anatomy import Anatomy
from anylens.core.errors import AnatomyError

FORMAT = 2


def to_json(anatomy: Anatomy) -> str:
    """Write an anatomy as JSON."""
    return json.dumps({"format": FORMAT, "anatomy": _plain(anatomy)}, separators=(",", ":"))


def from_json(text: str) -> Anatomy:
    """Read an anatomy back.

    Raises AnatomyError for text that is not an anatomy of this format.
    """
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise AnatomyError(
                f"This is not an anatomy of format {FORMAT}. Attach with an example to make it anew."
            )
        return typing.cast(Anatomy, _read(Anatomy, data["anatomy"]))
    except (ValueError, TypeError, KeyError) as error:
        raise AnatomyError(
            f"An anatomy could not be read: {error}. Attach with an example to make it anew."
        ) from error


def _plain(value: Any) -> Any:
    """Turn dataclasses into lists of their fields, in order: compact, and checked by length when read."""
    if dataclasses.is_dataclass(value):
        return [_plain(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _read(kind: Any, data: Any) -> Any:
    """Read a value of a type."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        fields = dataclasses.fields(kind)
        if len(fields) != len(data):
            raise ValueError(f"{kind.__name__} has {len(fields)} fields, not {len(data)}")
        return kind(
            **{field.name: _read(hints[field.name], item) for field, item in zip(fields, data, strict=True)}
        )
    if origin is tuple:
        return _read_tuple(inner, data)
    if origin in (types.UnionType, typing.Union):
        return _read_union(inner, data)
    return data


def _read_tuple(inner: tuple[Any, ...], data: Any) -> tuple[Any, ...]:
    if len(inner) == 2 and inner[1] is ...:
        return tuple(_read(inner[0], item) for item in data)
    return tuple(_read(kind, item) for kind, item in zip(inner, data, strict=True))


def _read_union(inner: tuple[Any, ...], data: Any) -> Any:
    """Read a value that may be one of several types: a list is the one that is not plain."""
    if not isinstance(data, list):
        return data
    for kind in inner:
        if dataclasses.is_dataclass(kind) or typing.get_origin(kind) is tuple:
            return _read(kind, data)
    return data
