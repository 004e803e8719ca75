"""Functions of Python, replaced while someone has a claim on them and put back afterwards.

What stands in a function's place asks each claim in turn, and calls the function itself where none answers: so a
claim of one thread's run changes nothing for other threads, and none for other models.
"""

import inspect
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

Function = Callable[..., Any]
Claim = Callable[
    [Function, tuple[Any, ...], dict[str, Any]], Any
]  # returns NotImplemented to let a call pass

_LOCK = threading.Lock()


@dataclass(frozen=True)
class Place:
    """Where a function is held: the module or class, and its name there."""

    holder: Any
    name: str

    @property
    def function(self) -> Any:
        """What is held there now."""
        return vars(self.holder).get(self.name)

    @property
    def key(self) -> tuple[int, str]:
        """What tells this place from others."""
        return id(self.holder), self.name


@dataclass(eq=False)
class Handle:
    """A claim that is in force until it is removed."""

    place: Place
    claim: Claim

    def remove(self) -> None:
        """Give the claim up; with the last one, the function itself comes back to its place."""
        with _LOCK:
            replaced = _REPLACED.get(self.place.key)
            if replaced is None or self not in replaced.handles:
                return
            replaced.handles = tuple(one for one in replaced.handles if one is not self)
            if not replaced.handles:
                del _REPLACED[self.place.key]
                replaced.put_back()


@dataclass
class Replaced:
    """A function with something in its place."""

    place: Place
    own: Function
    handles: tuple[Handle, ...] = ()
    instead: Function = field(init=False)

    def __post_init__(self) -> None:
        """Put a function that asks the claims into the place."""

        @wraps(self.own)
        def instead(*args: Any, **kwargs: Any) -> Any:
            for handle in self.handles:
                result = handle.claim(self.own, args, kwargs)
                if result is not NotImplemented:
                    return result
            return self.own(*args, **kwargs)

        self.instead = instead
        setattr(self.place.holder, self.place.name, instead)

    def put_back(self) -> None:
        """Put the function itself back, unless another has taken the place since."""
        if self.place.function is self.instead:
            setattr(self.place.holder, self.place.name, self.own)


_REPLACED: dict[tuple[int, str], Replaced] = {}


def find_function(path: str) -> Place | None:
    """Return where the function or method with a dotted path is held, or None.

    Only modules that are loaded are looked at: a model whose module is not cannot call its functions.
    """
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        holder: Any = sys.modules.get(".".join(parts[:cut]))
        if holder is None:
            continue
        for part in parts[cut:-1]:
            holder = vars(holder).get(part)
            if not inspect.isclass(holder):
                return None
        place = Place(holder, parts[-1])
        return place if inspect.isroutine(place.function) and not _bound(place.function) else None
    return None


def _bound(function: Any) -> bool:
    """Whether a function is given something other than its caller's arguments, as a class method is."""
    return isinstance(function, (classmethod, staticmethod))


def find_method(kind: type, name: str) -> Place | None:
    """Return where a class or one of its bases holds a method, or None."""
    holder = next((one for one in kind.__mro__ if name in vars(one)), None)
    place = Place(holder, name)
    return place if holder and inspect.isroutine(place.function) and not _bound(place.function) else None


def replace_function(path: str, claim: Claim) -> Handle | None:
    """Have a claim asked whenever a function is called; None where there is no such function."""
    place = find_function(path)
    return replace_at(place, claim) if place is not None else None


def replace_at(place: Place, claim: Claim) -> Handle:
    """Have a claim asked whenever the function at a place is called."""
    handle = Handle(place, claim)
    with _LOCK:
        replaced = _REPLACED.get(place.key)
        if replaced is None:
            replaced = _REPLACED[place.key] = Replaced(place, place.function)
        replaced.handles = (*replaced.handles, handle)
    return handle
