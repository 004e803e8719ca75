"""Which points are tried one by one: a rule that gives the same points each time.

Reading is not sampled: every point is read. Edits are, since each needs a forward of its own:

- A canonical point outside the blocks is edited alone, and so is each in a stream of at most `blocks` blocks. In a
  longer stream those of the first, the middle and the last block are, and, for each name that none of the three has,
  that of the first block that has it.
- What is tried with all canonical points together (reading, stand-ins, writing back) is tried with these alone too.
- Of these, of the native points and of the operations, where there are more than the limit, every n-th is taken in the
  order of the forward, beginning with the first, n being the smallest number that keeps the limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Sampling:
    """The largest numbers of points that are tried one by one, by what they are."""

    native: int = 48  # native points that are edited
    ops: int = 48  # points of operations that are edited
    alone: int = 64  # canonical points that are read, stood in for or written back alone
    blocks: int = 6  # blocks of a stream whose canonical points are all edited


def every_nth(items: Sequence[T], most: int) -> list[T]:
    """Return at most `most` items, evenly spaced, the first among them."""
    if most <= 0:
        return []
    return list(items[:: -(-len(items) // most) or 1])


def some_blocks(names: Mapping[int, frozenset[str]], most: int) -> list[int]:
    """Return the blocks of a stream whose points are edited, given the names in each block.

    All of them if there are at most `most`; else the first, the middle and the last, and the first of those that have
    a name which no block before them in this list has.
    """
    numbers = sorted(number for number in names if names[number])
    if len(numbers) <= most:
        return numbers
    taken = {numbers[0], numbers[len(numbers) // 2], numbers[-1]}
    seen = frozenset().union(*(names[number] for number in taken))
    for number in numbers:
        if names[number] - seen:
            taken.add(number)
            seen |= names[number]
    return sorted(taken)
