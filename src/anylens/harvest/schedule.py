"""Which block a worker takes next: plain decisions, without a cluster, files or a clock, so that they can be simulated.

A block is what one file of rows is made from, and what it holds does not depend on who makes it. So a block may be
given to a second worker when the first is lost or slow; whichever comes first counts.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from anylens.core.errors import StoreError

REMEMBERED = 101  # the latest blocks, whose time says how long one takes


@dataclass(frozen=True)
class Rules:
    """When a block is given out again.

    Attributes:
        tries: how often a block may fail, or take its worker with it, before the harvest is given up.
        slow: a block that takes so many times as long as the median one is given to a second worker too, once there are
            no others left.
        at_once: how many workers may be at one block.
    """

    tries: int = 4
    slow: float = 2.0
    at_once: int = 2


@dataclass(frozen=True)
class Attempt:
    """A worker at a block, since a time in seconds."""

    block: int
    worker: int
    began: float


class Schedule:
    """Gives blocks to whoever asks, the lowest first, and knows which are done."""

    def __init__(self, blocks: Iterable[int], *, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self._fresh = deque(sorted(blocks))
        self._under_way: dict[int, list[Attempt]] = {}
        self._failed: dict[int, int] = {}
        self._times: deque[float] = deque(maxlen=REMEMBERED)
        self.left = len(self._fresh)  # blocks that are not done
        self.doubled = 0  # attempts that came second
        self.lost = 0  # attempts that did not come to their end

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        return not self.left

    def next(self, worker: int, now: float) -> Attempt | None:
        """Return what a worker is to do now; None where there is nothing for it at present."""
        block = self._fresh.popleft() if self._fresh else self._slowest(worker, now)
        if block is None:
            return None
        attempt = Attempt(block, worker, now)
        self._under_way.setdefault(block, []).append(attempt)
        return attempt

    def _slowest(self, worker: int, now: float) -> int | None:
        """Return the block that has been slow for the longest time."""
        if not self._times:
            return None
        since = now - self.rules.slow * median(self._times)
        slow = [
            attempts[0]
            for attempts in self._under_way.values()
            if attempts[0].began < since
            and len(attempts) < self.rules.at_once
            and all(one.worker != worker for one in attempts)
        ]
        return min(slow, key=lambda one: (one.began, one.block)).block if slow else None

    def finished(self, attempt: Attempt, now: float) -> bool:
        """Take note that an attempt came to its end; whether it was the first at its block."""
        first = attempt.block in self._under_way
        if not first:
            self.doubled += 1
            return False
        del self._under_way[attempt.block]
        self._times.append(now - attempt.began)
        self.left -= 1
        return True

    def failed(self, attempt: Attempt, why: str) -> None:
        """Give a block back whose attempt failed, or whose worker was lost.

        Raises StoreError if that happened to the block too often.
        """
        self.lost += 1
        attempts = self._under_way.get(attempt.block)
        if attempts is None:  # somebody else was quicker
            return
        self._failed[attempt.block] = self._failed.get(attempt.block, 0) + 1
        if self._failed[attempt.block] >= self.rules.tries:
            raise StoreError(
                f"Block {attempt.block} failed {self.rules.tries} times, the last time so: {why} What was done is "
                "kept; run the same again to go on."
            )
        attempts.remove(attempt)
        if not attempts:
            del self._under_way[attempt.block]
            self._fresh.appendleft(attempt.block)
