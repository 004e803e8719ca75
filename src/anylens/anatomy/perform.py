"""Perform one torch function and say which tensors it took, gave and changed in place."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from anylens.core.tree import leaves, replace

_OPERATORS = frozenset("add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split())


@dataclass(slots=True)
class Performed:
    """A torch function that ran."""

    operands: list[torch.Tensor]
    result: Any
    outputs: list[torch.Tensor]  # what it returned, then what it changed in place
    changed: list[torch.Tensor]


def version(tensor: torch.Tensor) -> int:
    """Return a counter that grows when the tensor is changed in place; 0 where torch keeps none."""
    try:
        return tensor._version
    except RuntimeError:
        return 0


@lru_cache(maxsize=8192)
def in_place(func: Callable[..., Any]) -> bool:
    """Whether a function's name says that it changes its first operand: `add_`, `__iadd__`, `__setitem__`."""
    name = getattr(func, "__name__", "")
    if name.endswith("__"):
        return name == "__setitem__" or (name.startswith("__i") and name[3:-2] in _OPERATORS)
    return bool(name.endswith("_"))


def unique(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Drop repetitions of the same tensor, keeping the order."""
    return list({id(tensor): tensor for tensor in tensors}.values())


def writes(func: Callable[..., Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call says that it changes its first operand: by its name, or by `inplace=True`."""
    return in_place(func) or kwargs.get("inplace") is True


def perform(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Performed:
    """Call a torch function."""
    operands = [tensor for _, tensor in leaves((args, kwargs))]
    versions = [version(tensor) for tensor in operands]
    result = func(*args, **kwargs)
    changed = [t for t, before in zip(operands, versions, strict=True) if version(t) != before]
    if operands and operands[0].is_inference() and writes(func, kwargs):  # such tensors count no changes
        changed = operands[:1]
    outputs = unique([tensor for _, tensor in leaves(result)] + changed)
    return Performed(operands, result, outputs, changed)


def written_back(done: Performed, before: list[torch.Tensor]) -> Performed:
    """Return what a function did as if it had changed these operands in place, and not what was given instead of them.

    The model goes on with its own tensor: what was edited on the way into `x[:, 0] = y` has to end in that `x`.
    """
    changed = {id(tensor) for tensor in done.changed}
    own = {
        id(now): old
        for now, old in zip(done.operands, before, strict=True)
        if now is not old and id(now) in changed and now.shape == old.shape  # not by `squeeze_` and its like
    }
    if not own:
        return done
    for now in done.changed:
        if id(now) in own:
            own[id(now)].copy_(now)
    result = done.result
    for key, tensor in list(leaves(result)):
        if id(tensor) in own:
            result = replace(result, key, own[id(tensor)])

    def owned(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        return [own.get(id(tensor), tensor) for tensor in tensors]

    return Performed(owned(done.operands), result, owned(done.outputs), owned(done.changed))
