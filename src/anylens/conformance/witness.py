"""An independent witness: plain torch hooks and a function mode of its own, with no lens.

It counts calls and operations, where the lens goes by labels: on one and the same input both must find the same
tensors. It can also change one of them, which says whether a value matters to the output at all.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from anylens.anatomy.points import Point
from anylens.anatomy.vocabulary import ACTIVATIONS, SILENT, function_name
from anylens.conformance.compare import same_bits
from anylens.core.axes import Layout
from anylens.core.opened import OPENED
from anylens.core.tree import leaves, replace

name_of = lru_cache(maxsize=8192)(function_name)
Place = tuple[Any, ...]  # path, call, what is there, side, slot
Change = Callable[[torch.Tensor], torch.Tensor]


def place_of(point: Point) -> Place:
    """Return where a native point or a point of an operation is, in the words of the witness."""
    tap = point.tap
    what = point.name.rpartition(".hook_")[0].rpartition("op.")[2] if point.kind == "op" else "module"
    return tap.path, tap.turn or 0, what, tap.side, tap.slot


class Witness(TorchFunctionMode):
    """Sees every call and every operation of a model; keeps copies at some places, changes the value at others."""

    def __init__(self, model: nn.Module, wanted: Iterable[Place] = (), change: Change | None = None) -> None:
        super().__init__()
        self.paths = {id(module): path for path, module in model.named_modules()}
        self.modules = list(model.modules())
        self.wanted = set(wanted)
        self.scopes = {place[:2] for place in self.wanted}
        self.change = change
        self.seen: dict[Place, torch.Tensor] = {}
        self.calls: Counter[str] = Counter()
        self.stack: list[tuple[str, int, Counter[str]]] = []

    @contextmanager
    def watching(self) -> Iterator["Witness"]:
        """Put the hooks on and the mode in force, and take both away again.

        What a hook of the model's own does around a module's forward is its caller's: a weight norm before it, or one
        behind it that keeps what the module gave, which it should find changed.
        """
        handles: list[Any] = []
        for module in self.modules:
            handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
            handles.append(module.register_forward_hook(self._leave, with_kwargs=True, prepend=True))
        try:
            with self:
                yield self
        finally:
            for handle in handles:
                handle.remove()

    def _visit(
        self, held: Any, place: Callable[[Any, int], Place], keys: list[Any], mutated: Iterable[int] = ()
    ) -> Any:
        for index, (key, tensor) in enumerate(list(leaves(held))):
            here = place(keys[index], index)
            if here not in self.wanted:
                continue
            if id(tensor) in mutated:
                self._in_place(tensor, here)
                continue
            self.seen[here] = tensor.detach().clone()
            if self.change is not None:
                held = replace(held, key, _in_its_place(self.change(tensor), tensor))
        return held

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> Any:
        path = self.paths[id(module)]
        call = self.calls[path]
        self.calls[path] += 1
        with torch._C.DisableTorchFunction():
            names = _names(module, args, kwargs)
            keys = [(name, *key) for name, value in names for key, _ in leaves(value)]
            new = self._visit((args, kwargs), lambda key, _: (path, call, "module", "in", key), keys)
        self.stack.append((path, call, Counter()))
        return new

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        while self.stack[-1][0] != self.paths[id(module)]:
            self.stack.pop()
        path, call, _ = self.stack.pop()
        keys = [key for key, _ in leaves(output)]
        with torch._C.DisableTorchFunction():
            return self._visit(output, lambda key, _: (path, call, "module", "out", key), keys)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = name_of(func)
        if not self.stack or name in SILENT:
            return func(*args, **kwargs)
        if func in OPENED:
            with self:
                return OPENED[func](*args, **kwargs)
        return self._operation(func, name, args, kwargs)

    def _operation(self, func: Callable[..., Any], name: str, args: Any, kwargs: Any) -> Any:
        path, call, counts = self.stack[-1]
        if (path, call) not in self.scopes:
            return func(*args, **kwargs)
        what = f"{name}.{counts[name]}"
        operands = [tensor for _, tensor in leaves((args, kwargs))]
        given = self._visit(
            (args, kwargs), lambda _, index: (path, call, what, "in", index), [()] * len(operands)
        )
        taken = [tensor for _, tensor in leaves(given)]
        versions = [_version(tensor) for tensor in operands], [_version(tensor) for tensor in taken]
        result = func(*given[0], **given[1])
        for own, other, before in zip(operands, taken, versions[1], strict=True):
            if own is not other and _version(other) != before and own.shape == other.shape:
                own.copy_(other)  # the model goes on with its own
                result = _with_own(result, other, own)
        held = [tensor for _, tensor in leaves(result)]
        mutated = [t for t, before in zip(operands, versions[0], strict=True) if _version(t) != before]
        if held or mutated:
            counts[name] += 1
        place, touched = (lambda _, index: (path, call, what, "out", index)), {id(t) for t in mutated}
        result = self._visit(result, place, [()] * len(held), touched)
        known = {id(tensor) for tensor in held}
        for index, tensor in enumerate([t for t in mutated if id(t) not in known], len(held)):
            self._in_place(tensor, (path, call, what, "out", index))
        return result

    def _in_place(self, tensor: torch.Tensor, here: Place) -> None:
        """Look at a tensor that an operation changed in place: others may hold it, so a change goes into it too."""
        if here in self.wanted:
            self.seen[here] = tensor.detach().clone()
            if self.change is not None:
                tensor.copy_(self.change(tensor))


def _with_own(result: Any, other: torch.Tensor, own: torch.Tensor) -> Any:
    for key, tensor in list(leaves(result)):
        if tensor is other:
            result = replace(result, key, own)
    return result


def _in_its_place(new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    """Return a value with the strides of the one it replaces: on others a function may round otherwise."""
    if new.shape != old.shape or new.stride() == old.stride() or 0 in old.stride():
        return new
    return torch.empty_strided(old.shape, old.stride(), dtype=new.dtype, device=new.device).copy_(new)


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _names(module: nn.Module, args: Any, kwargs: Any) -> list[tuple[Any, Any]]:
    """Name the arguments of a module as its forward does."""
    own = module.__dict__.get("forward")
    names = _parameters(type(module).forward)[1:] if own is None else _parameters(own)
    names = names[1:] if own is not None and names[:1] == ("self",) else names
    return [
        *((names[n] if n < len(names) else n, value) for n, value in enumerate(args)),
        *kwargs.items(),
    ]


@lru_cache(maxsize=4096)
def _parameters(forward: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of what can be passed by position."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = list(inspect.signature(forward).parameters.values())
    return tuple(parameter.name for parameter in parameters if parameter.kind in positional)


def batched(tensor: torch.Tensor) -> bool:
    """Whether a tensor stands for one of many inside `torch.vmap`: its content and memory are those of all."""
    return bool(torch._C._functorch.is_batchedtensor(tensor))


def of_all(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor of which one inside `torch.vmap` is a part; any other as it is."""
    while batched(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


# Take of a tensor what kind it is, and none of its content; those that end in `_as` do so with their second operand.
_ASKS_SHAPE = frozenset(
    """zeros_like ones_like empty_like full_like rand_like randn_like new_zeros new_ones new_empty new_full""".split()
)


class Sightings(TorchFunctionMode):
    """Looks out for given contents among the tensors that operations take.

    It lies below the mode of a run, so that it sees what the model computes with, edits included. Copies do not
    count: the lens makes them for itself.
    """

    def __init__(self, layout: Layout | None = None) -> None:
        super().__init__()
        self.wanted: dict[str, torch.Tensor] = {}
        self.layout = layout
        self.found: Counter[str] = Counter()
        self.outside = False  # what is seen while this is set is counted apart
        self.results: list[torch.Tensor] | None = None
        self.recomputed: list[
            torch.Tensor
        ] = []  # equal to the value before an edit, but made anew from others

    def look(self, tensor: torch.Tensor) -> None:
        """Count a tensor that has one of the contents looked for."""
        if batched(tensor) or any(tensor is other for other in self.recomputed):
            return
        seen = self.shown(tensor) if self.wanted else None
        if seen is not None:
            for name, content in self.wanted.items():
                self.found[f"{name}, outside" if self.outside else name] += same_bits(seen, content)

    def holds(self, name: str, tensor: torch.Tensor) -> bool:
        """Whether a tensor has one of the contents."""
        seen = self.shown(tensor)
        return seen is not None and same_bits(seen, self.wanted[name])

    def shown(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Return a tensor as the point would show it; None if it does not fit."""
        if self.layout is None:
            return tensor
        if not any(tensor.numel() % max(content.numel(), 1) == 0 for content in self.wanted.values()):
            return None
        try:
            return self.layout.view(tensor)[0]
        except (ValueError, RuntimeError, IndexError):
            return None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = name_of(func)
        if name in SILENT:
            return func(*args, **kwargs)
        before = self.found["before"]
        if self.wanted and name not in ("clone", "detach", "copy"):
            read = args[:1] if name.endswith("_as") else () if name in _ASKS_SHAPE else (args, kwargs)
            for _, tensor in leaves(read):
                self.look(tensor)
        result = func(*args, **kwargs)
        mine = [tensor for _, tensor in leaves(result) if not batched(tensor)]
        written = "empty" not in name  # new memory may hold anything, the value before the edit too
        if written and "before" in self.wanted and self.found["before"] == before:
            self.recomputed += [tensor for tensor in mine if self.holds("before", tensor)]
        if self.results is not None and name != "clone":
            self.results += mine
        return result


class Counting(TorchFunctionMode):
    """Counts the functions that reach torch, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.counts[name_of(func)] += 1
        return func(*args, **(kwargs or {}))


class Seeker(TorchFunctionMode):
    """Seeks the one activation that takes a sum and gives a result, in the model's own forward."""

    def __init__(self, sums: list[torch.Tensor], wanted: torch.Tensor) -> None:
        super().__init__()
        self.sums = sums
        self.wanted = wanted
        self.name = ""
        self.function: Change | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = name_of(func)
        if name not in ACTIVATIONS or not args or not isinstance(args[0], torch.Tensor):
            return func(*args, **kwargs)
        given = args[0].detach().clone()
        result = func(*args, **kwargs)
        if any(same_bits(given, one) for one in self.sums) and same_bits(result.detach(), self.wanted):
            self.name, rest = name, args[1:]
            self.function = lambda value: func(value.clone(), *rest, **kwargs)
        return result
