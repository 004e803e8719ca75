"""Tensors inside the containers that models pass around: tuples, lists, dicts and dataclasses.

A leaf has a key: the indices and names that lead to it, `(1,)` or `("hidden_states", 3)`. Objects of any other
class (caches, configs) are left alone: they are the model's own business.
"""

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch

Key = tuple[str | int, ...]

MAX_DEPTH = 6


def children(value: Any) -> Iterator[tuple[str | int, Any]]:
    """Yield what a container holds, with the index or name it is held by."""
    if isinstance(value, Mapping):
        yield from ((key, item) for key, item in value.items() if isinstance(key, (str, int)))
    elif isinstance(value, (tuple, list)):
        yield from enumerate(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value))


def leaves(value: Any, key: Key = ()) -> Iterator[tuple[Key, torch.Tensor]]:
    """Yield every tensor inside `value` with its key, in order."""
    if isinstance(value, torch.Tensor):
        yield key, value
    elif len(key) < MAX_DEPTH:
        for step, item in children(value):
            yield from leaves(item, (*key, step))


def get(value: Any, key: Key) -> Any:
    """Return what `key` leads to, or None where the way ends early."""
    for step in key:
        if isinstance(value, (tuple, list)) and isinstance(step, int):
            value = value[step] if step < len(value) else None
        elif isinstance(value, Mapping):
            value = value.get(step)
        else:
            value = next((item for name, item in children(value) if name == step), None)
    return value


def replace(value: Any, key: Key, new: Any) -> Any:
    """Return a copy of `value` in which `key` leads to `new`; what is not on the way is shared with the original."""
    if not key:
        return new
    step, rest = key[0], key[1:]
    inner = replace(get(value, (step,)), rest, new)
    if isinstance(value, tuple):
        items = [inner if index == step else item for index, item in enumerate(value)]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    other = copy.copy(value)
    if isinstance(value, (Mapping, list)):
        other[step] = inner
    else:
        object.__setattr__(other, str(step), inner)
    return other


def show(key: Key) -> str:
    """Write a key as it stands in a point's name: `[1]`, `[hidden_states][3]`; the empty key is nothing."""
    return "".join(f"[{step}]" for step in key)
