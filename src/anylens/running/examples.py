"""Inputs as people hold them: a tensor, a tuple, a dict of keyword arguments, a tokenizer's or processor's output."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from anylens.core.errors import RunError
from anylens.core.tree import leaves

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def as_arguments(example: Any, module: nn.Module | None = None) -> Arguments:
    """Return the positional and keyword arguments that an example stands for."""
    if isinstance(example, Mapping):
        return unpack((example,), {}, module)
    if isinstance(example, tuple):
        return example, {}
    return (example,), {}


def unpack(args: tuple[Any, ...], kwargs: dict[str, Any], module: Any = None) -> Arguments:
    """Take a lone mapping, such as a tokenizer's output, for keyword arguments, unless `module` takes a mapping."""
    if len(args) == 1 and isinstance(args[0], Mapping) and not (module and _takes_mapping(module, args[0])):
        return (), {**args[0], **kwargs}
    return args, kwargs


def _takes_mapping(module: Any, given: Mapping[Any, Any]) -> bool:
    """Whether a module's forward knows no argument by any of a mapping's keys, and can take it as a whole."""
    if not isinstance(module, nn.Module):  # a pipeline
        return False
    try:
        known = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return False
    if any(one.kind is one.VAR_KEYWORD or one.name in given for one in known):
        return False
    return any(one.kind is not one.KEYWORD_ONLY for one in known)


def called(
    args: tuple[Any, ...], kwargs: dict[str, Any], method: Any, module: Any = None
) -> tuple[Arguments, Any]:
    """Return the arguments and what is called: a callable in front of the arguments is the method."""
    if method is None and args and callable(args[0]) and not isinstance(args[0], (torch.Tensor, Mapping)):
        return unpack(args[1:], kwargs), args[0]
    return unpack(args, kwargs, module if method is None else None), method


def at_home(module: nn.Module, given: Arguments) -> Arguments:
    """Move an example to the meta device if the model is there."""
    devices = {parameter.device.type for parameter in module.parameters()}
    if devices != {"meta"}:
        return given
    args, kwargs = given
    return tuple(_to_meta(value) for value in args), {name: _to_meta(value) for name, value in kwargs.items()}


def _to_meta(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to("meta")
    if isinstance(value, (list, tuple)):
        return type(value)(_to_meta(item) for item in value)
    return {key: _to_meta(item) for key, item in value.items()} if isinstance(value, dict) else value


def describe(given: Arguments) -> str:
    """Say what was passed, for an error."""
    args, kwargs = given
    named = [*((f"argument {n}", value) for n, value in enumerate(args)), *kwargs.items()]
    return ", ".join(f"{name}: {_describe(value)}" for name, value in named) or "nothing"


def _describe(value: Any) -> str:
    found = [f"{str(t.dtype).removeprefix('torch.')} {list(t.shape)}" for _, t in leaves(value)]
    return " ".join(found) or type(value).__name__


def method_of(module: nn.Module, method: str | Callable[..., Any] | None) -> Callable[..., Any]:
    """Return what a run calls: the model itself, one of its methods by name, or any callable."""
    if method is None:
        return module
    found = getattr(module, method, None) if isinstance(method, str) else method
    if not callable(found):
        raise RunError(f"{type(module).__name__} has no method {method!r} to run.")
    return found
