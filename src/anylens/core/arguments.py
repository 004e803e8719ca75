"""A module's arguments by name, whether they were passed by position or by keyword."""

import inspect
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from anylens.core.tree import Key, get, leaves, replace

Arguments = tuple[tuple[Any, ...], dict[str, Any]]

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@lru_cache(maxsize=4096)
def _by_position(forward: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the parameters that can be passed by position."""
    try:
        parameters = list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):
        return ()
    return tuple(parameter.name for parameter in parameters if parameter.kind in _BY_POSITION)


@lru_cache(maxsize=4096)
def _of_class(kind: Any) -> tuple[str, ...]:
    """Return the names that the forward of a class takes, without the first, which is the module itself."""
    names = _by_position(kind.forward)
    alone = isinstance(inspect.getattr_static(kind, "forward", None), staticmethod)
    return names if alone else names[1:]


def parameter_names(module: nn.Module) -> tuple[str, ...]:
    """Return the names of what a module's forward takes by position, the module itself left out."""
    own = module.__dict__.get("forward")
    if not callable(own):
        kind: Any = type(module)  # mypy holds that classes cannot be hashed
        return _of_class(kind)
    names = _by_position(own)
    return names[1:] if names[:1] == ("self",) else names


def named(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[tuple[str | int, Any]]:
    """Yield each argument with its parameter's name, or its position where it has none."""
    names = parameter_names(module)
    for position, value in enumerate(args):
        yield (names[position] if position < len(names) else position), value
    yield from kwargs.items()


def tensors(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[tuple[Key, torch.Tensor]]:
    """Return every tensor among the arguments; its key begins with the parameter's name."""
    return [leaf for name, value in named(module, args, kwargs) for leaf in leaves(value, (name,))]


def find(module: nn.Module, arguments: Arguments, key: Key) -> Any:
    """Return the argument that a key leads to, or None."""
    for name, value in named(module, *arguments):
        if name == key[0]:
            return get(value, key[1:])
    return None


def put(module: nn.Module, arguments: Arguments, key: Key, new: torch.Tensor) -> Arguments:
    """Return the arguments with another tensor at `key`."""
    args, kwargs = arguments
    for position, (name, value) in enumerate(named(module, args, kwargs)):
        if name != key[0]:
            continue
        changed = replace(value, key[1:], new)
        if position < len(args):
            return (*args[:position], changed, *args[position + 1 :]), kwargs
        return args, {**kwargs, str(name): changed}
    return arguments
