"""Which run is under way in this thread or task, so that a tap fires for its own run only."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_RUNS: ContextVar[dict[int, Any] | None] = ContextVar("anylens_runs", default=None)


def active(root: int) -> Any:
    """Return the run under way on the model with this identity, or None."""
    return (_RUNS.get() or {}).get(root)


def all_active() -> list[Any]:
    """Return all that is under way here."""
    return list((_RUNS.get() or {}).values())


@contextmanager
def activated(root: int, run: Any) -> Iterator[None]:
    """Make `run` the one under way on a model, and what was before again afterwards."""
    token = _RUNS.set({**(_RUNS.get() or {}), root: run})
    try:
        yield
    finally:
        _RUNS.reset(token)


@contextmanager
def at_rest() -> Iterator[None]:
    """Have no run under way: a model that a user's hook calls is as it is, even the one being run."""
    token = _RUNS.set(None)
    try:
        yield
    finally:
        _RUNS.reset(token)
