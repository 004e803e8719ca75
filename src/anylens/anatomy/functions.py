"""Stand-ins for functions of Python: what shows the inside of a function that no tensor operation shows alone.

A recurrence computes its states one by one; a mixture sends each row to experts of its own. Their values exist, but
under no name that a run could find again. A stand-in computes what the function computes, and calls `visit` at each of
its sites. It is data of a family; while a forward is watched its calls are found, each in the scope that makes it.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from anylens.core.axes import Axes


class Flow(Protocol):
    """A value that later values follow from, such as the states of a recurrence: what an edit makes of it."""

    def edited(self, new: torch.Tensor) -> torch.Tensor:
        """Take an edited value, and return it with all that follows from the edit."""
        ...

    def followed(self, new: torch.Tensor) -> torch.Tensor:
        """Take a copy of the value in which nothing is changed, and return one whose gradients reach the copy."""
        ...


class Visit(Protocol):
    """What a stand-in is given: it calls this at each of its sites."""

    own: Callable[..., Any]  # the function that is stood in for
    lead: tuple[int, ...]  # the dimensions before the features of what entered the module that calls it

    def __call__(self, site: str, value: torch.Tensor, flow: Flow | None = None) -> torch.Tensor:
        """Take the value at a site, give back the value to go on with."""
        ...

    def wants(self, *sites: str) -> bool:
        """Whether anything is to be done at one of these sites."""
        ...


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """A stand-in for a function of Python.

    Attributes:
        function: the dotted path of the function or method: `library.module.function`, `library.module.Class.method`.
        by: what runs in its place: `by(visit, *args, **kwargs)`, with the function's own arguments. It must give what
            the function gives, within rounding, and do to its arguments what the function does.
        part: what the points are called by: `ssm` for `blocks.{i}.ssm.hook_state`.
        role: what the function is for. Of stand-ins with one part and one role a forward calls one or another: a whole
            sequence goes through one function, a single step through a second.
        sites: name of a site -> its axes, `{"state": "batch pos d_inner state"}`.
    """

    function: str
    by: Callable[..., Any] = field(repr=False)
    part: str
    role: str
    sites: Mapping[str, str]

    @property
    def key(self) -> str:
        """What its calls are found by; the dot tells it from the names of torch's functions."""
        return f"{self.part}.{self.role}"

    def axes(self, site: str) -> Axes:
        """Return the names of a site's axes."""
        return tuple(self.sites[site].split())


@dataclass(frozen=True)
class Shown:
    """A value that a stand-in showed in the watched forward."""

    site: str
    axes: Axes
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class FunctionCall:
    """A call of a function that has a stand-in: the module call around it, and what the stand-in shows of it."""

    key: str
    call: int
    shown: tuple[Shown, ...]
    labels: tuple[tuple[str, ...], ...]  # those of its results, which the stand-in's results take over
    error: str = ""  # what the stand-in ended in, if it did: it then shows nothing


def identity(stand_ins: Iterable[StandIn]) -> str:
    """Return a digest of what some stand-ins are: an anatomy found with others is another."""
    digest = hashlib.blake2s(digest_size=8)
    for one in stand_ins:
        code = getattr(one.by, "__code__", None)
        held = (getattr(one.by, "__module__", ""), getattr(one.by, "__qualname__", repr(one.by)))
        digest.update(repr((one.function, one.key, sorted(one.sites.items()), held)).encode())
        digest.update(code.co_code if code is not None else b"")
    return digest.hexdigest()
