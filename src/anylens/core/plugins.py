"""Plugins: values that installed distributions offer under an entry-point group.

One that raises when it is imported must not take the others down, so each comes back as a value or as the exception.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any


@dataclass(frozen=True)
class Plugin:
    """What one entry point gave: a value, or the exception that importing it raised."""

    name: str  # of the entry point
    distribution: str  # which package it came with
    value: Any = None
    error: Exception | None = None

    def __str__(self) -> str:
        """Say which plugin this is, for an error."""
        return f"{self.name!r} of {self.distribution}"


def find_plugins(group: str) -> list[EntryPoint]:
    """Return the entry points of a group, in a fixed order; nothing is imported."""
    return sorted(entry_points(group=group), key=lambda found: (_distribution(found), found.name))


def load_plugins(found: Iterable[EntryPoint]) -> list[Plugin]:
    """Import what entry points name, each on its own."""
    return [_load(entry) for entry in found]


def _load(entry: EntryPoint) -> Plugin:
    try:
        return Plugin(entry.name, _distribution(entry), value=entry.load())
    except Exception as error:  # a plugin may raise anything
        return Plugin(entry.name, _distribution(entry), error=error)


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown distribution"
