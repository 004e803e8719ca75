"""Frozen data as JSON: dataclasses as lists of their fields, tuples as lists, read back by their types."""

import dataclasses
import types
import typing
from typing import Any


def plain(value: Any) -> Any:
    """Turn dataclasses into lists of their fields, in order: compact, and checked by length when read."""
    if dataclasses.is_dataclass(value):
        return [plain(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


def read(kind: Any, data: Any) -> Any:
    """Read a value of a type. Raises ValueError or TypeError for data that is none."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        fields = dataclasses.fields(kind)
        if len(fields) != len(data):
            raise ValueError(f"{kind.__name__} has {len(fields)} fields, not {len(data)}")
        return kind(
            **{field.name: read(hints[field.name], item) for field, item in zip(fields, data, strict=True)}
        )
    if origin is tuple:
        return _read_tuple(inner, data)
    if origin in (types.UnionType, typing.Union):
        return _read_union(inner, data)
    return data


def _read_tuple(inner: tuple[Any, ...], data: Any) -> tuple[Any, ...]:
    if len(inner) == 2 and inner[1] is ...:
        return tuple(read(inner[0], item) for item in data)
    return tuple(read(kind, item) for kind, item in zip(inner, data, strict=True))


def _read_union(inner: tuple[Any, ...], data: Any) -> Any:
    """Read a value that may be one of several types: a list is the one that is not plain."""
    if not isinstance(data, list):
        return data
    for kind in inner:
        if dataclasses.is_dataclass(kind) or typing.get_origin(kind) is tuple:
            return read(kind, data)
    return data
