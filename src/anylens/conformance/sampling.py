"""Which points are edited one by one: a rule that gives the same points each time.

Every canonical point is edited. Of the native points and of the operations, where there are more than the limit, every
n-th is taken in the order of the forward, beginning with the first, n being the smallest number that keeps the limit.
Reading is not sampled: every point is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Sampling:
    """The largest numbers of native points and of operations' points that are edited one by one."""

    native: int = 48
    ops: int = 48


def every_nth(items: Sequence[T], most: int) -> list[T]:
    """Return at most `most` items, evenly spaced, the first among them."""
    if most <= 0:
        return []
    return list(items[:: -(-len(items) // most) or 1])
