"""Runs that begin where another run has been: calls of modules give what they gave before, and do not run.

Two runs that are the same up to an edit compute the same up to that edit. The first is recorded: which modules were
called, in what order, what each gave, and when something of note happened between (a mark). In a later run that
differs only from some mark on, every call that had ended before that mark can be answered from the record; the model's
other code runs as it is. What answers is asked at the class's `forward`, for the time of the run and in its thread only
(`core/replaced.py`), so the modules' own hooks still see each call.

Nothing is answered that cannot be: a call that gave anything but tensors in plain containers runs itself, and a run
that calls other modules than the record did is an error.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from anylens.core.errors import RunMismatchError
from anylens.core.replaced import Function, Place, find_method, replace_at
from anylens.core.tree import MAX_DEPTH, children, leaves, replace
from anylens.running.active import activated, active

ROOM = 2**30  # bytes of outputs that a record keeps; calls beyond that run themselves
ITEMS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)  # what holds modules that are called one after another


@dataclass
class Call:
    """A call of a module: which, between which moments of the run, and what it gave where that was kept."""

    module: nn.Module
    entered: int
    left: int | None = None
    after: int = 0  # the number of the first call entered later than this one was left
    output: Any = None
    kept: bool = False


Answer = Callable[[Call], Any]


class Record:
    """The calls of some modules in one run, in order, and the marks made meanwhile."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self.modules = {id(module): module for module in modules if _place(module) is not None}
        self.calls: list[Call] = []
        self.moments = 0
        self._last_mark = -1
        self._room = ROOM
        self._inside: list[int] = []

    def mark(self) -> int:
        """Return the present moment of the run, to be told as `until` when the run is made again."""
        self._last_mark = self._tick()
        return self._last_mark

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what the modules give while some code runs in this thread."""
        with _claimed(self, self.modules.values(), self._note):
            yield

    def _note(self, own: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not args or id(args[0]) not in self.modules or id(args[0]) in self._inside:
            return NotImplemented
        call = Call(args[0], self._tick())
        self.calls.append(call)
        first = len(self.calls)
        output = _within(self._inside, own, args, kwargs)
        if self._last_mark < call.entered:  # whoever asks for a call inside asks for this one
            for inner in self.calls[first:]:
                self._drop(inner)
        call.left, call.after = self._tick(), len(self.calls)
        self._keep(call, output)
        return output

    def _tick(self) -> int:
        self.moments += 1
        return self.moments

    def _keep(self, call: Call, output: Any) -> None:
        size = sum(tensor.nbytes for _, tensor in leaves(output))
        if _plain(output) and size <= self._room:
            call.output, call.kept = copied(output), True
            self._room -= size

    def _drop(self, call: Call) -> None:
        if call.kept:
            self._room += sum(tensor.nbytes for _, tensor in leaves(call.output))
        call.output, call.kept = None, False


class Answering:
    """A run in which calls that had ended before a moment give what the record, or `answer`, has for them."""

    def __init__(self, record: Record, until: int, answer: Answer) -> None:
        self.record = record
        self.until = until
        self.answer = answer
        self.answered = 0
        self._next = 0
        self._inside: list[int] = []

    @contextmanager
    def under_way(self) -> Iterator["Answering"]:
        """Answer while some code runs in this thread."""
        with _claimed(self, self.record.modules.values(), self._claim):
            yield self

    def _claim(self, own: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        calls = self.record.calls
        if not args or id(args[0]) not in self.record.modules or id(args[0]) in self._inside:
            return NotImplemented
        if self._next >= len(calls) or calls[self._next].entered > self.until:
            return NotImplemented  # from here on the run may differ
        call = calls[self._next]
        if call.module is not args[0]:
            raise RunMismatchError(
                f"A run that should begin as the one before called a {type(args[0]).__name__} where that had "
                f"called a {type(call.module).__name__}. Run it whole, with Settings(resume=False)."
            )
        if call.kept and call.left is not None and call.left < self.until:
            self._next = call.after
            self.answered += 1
            return self.answer(call)
        self._next += 1
        return _within(self._inside, own, args, kwargs)


def items_of(model: nn.Module) -> list[nn.Module]:
    """Return the modules of a model that are items of a list or a sequence: its blocks, whatever they are called."""
    found: dict[int, nn.Module] = {}

    def walk(module: nn.Module, *, inside: bool) -> None:
        for child in module.children():
            item = isinstance(module, ITEMS) and not isinstance(child, (nn.ModuleList, nn.ModuleDict))
            unit = item and (not inside or next(child.children(), None) is not None)
            if unit:
                found[id(child)] = child
            walk(child, inside=inside or unit)

    walk(model, inside=False)
    return list(found.values())


def copied(output: Any, times: Callable[[Any, torch.Tensor], torch.Tensor] | None = None) -> Any:
    """Return an output with copies of its tensors; `times` makes another tensor of each, given its key."""
    for key, tensor in list(leaves(output)):
        output = replace(output, key, tensor.detach().clone() if times is None else times(key, tensor))
    return output


def _within(inside: list[int], own: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a module's forward; the forward of a base class that it calls is part of it."""
    inside.append(id(args[0]))
    try:
        return own(*args, **kwargs)
    finally:
        inside.pop()


@contextmanager
def _claimed(who: Any, modules: Iterable[nn.Module], claim: Any) -> Iterator[None]:
    """Have a claim asked at the forward of some modules, in this thread and while `who` is what is under way."""

    def mine(own: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return claim(own, args, kwargs) if active(id(who)) is who else NotImplemented

    places = {place.key: place for place in map(_place, modules) if place is not None}
    handles = [replace_at(place, mine) for place in places.values()]
    try:
        with activated(id(who), who):
            yield
    finally:
        for handle in handles:
            handle.remove()


def _place(module: nn.Module) -> Place | None:
    """Return where a module's forward is held; None for one that has a forward of its own instead of its class's."""
    return None if "forward" in vars(module) else find_method(type(module), "forward")


def _plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is made of tensors, numbers and text in containers that can be copied with other tensors in."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return True
    if isinstance(value, torch.Tensor):
        return value.layout == torch.strided and not value.is_nested
    held = list(children(value))
    container = isinstance(value, (tuple, list, dict)) or hasattr(value, "__dataclass_fields__")
    return container and depth < MAX_DEPTH and all(_plain(item, depth + 1) for _, item in held)
