"""Which points are tried one by one: a rule that gives the same points each time.

Every canonical point is edited alone. What is tried with all canonical points together is tried with some alone, too.
Of these, of the native points and of the operations, where there are more than the limit, every
n-th is taken in the order of the forward, beginning with the first, n being the smallest number that keeps the limit.
Reading is not sampled: every point is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Sampling:
    """The largest numbers of points that are tried one by one, by what they are."""

    native: int = 48  # native points that are edited
    ops: int = 48  # points of operations that are edited
    alone: int = 64  # canonical points that are read, stood in for or written back alone


def every_nth(items: Sequence[T], most: int) -> list[T]:
    """Return at most `most` items, evenly spaced, the first among them."""
    if most <= 0:
        return []
    return list(items[:: -(-len(items) // most) or 1])
