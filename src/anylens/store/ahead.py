"""Reads what comes next in the background, so that whoever uses rows need not wait for the disk or the network."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from anylens.store.rows import Rows

THREADS = 2  # a store at a URL gives one reader less than the network could


class Ahead:
    """Holds the block that is used and a few that come next: no more than `most + 1` at a time.

    Attributes:
        waited: seconds spent on waiting for blocks that were not there yet.
    """

    def __init__(self, load: Callable[[int], Rows], *, most: int) -> None:
        self.waited = 0.0
        self._load, self._most = load, most
        self._held: dict[int, Future[Rows]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def expect(self, blocks: Sequence[int]) -> None:
        """Let go of what is not among the next blocks, and begin to read those; the first is the one used now."""
        if not self._most:
            return
        wanted = list(blocks[: self._most + 1])
        for block in [block for block in self._held if block not in wanted]:
            self._held.pop(block).cancel()
        self._pool = self._pool or ThreadPoolExecutor(THREADS, "anylens-ahead")
        for block in wanted:
            if block not in self._held:
                self._held[block] = self._pool.submit(self._load, block)

    def take(self, block: int) -> Rows | None:
        """Return a block that was expected, waiting for it if need be; None for one that was not.

        Raises what reading it raised.
        """
        held = self._held.get(block)
        if held is None:
            return None
        if held.done():
            return held.result()
        began = time.perf_counter()
        try:
            return held.result()
        finally:
            self.waited += time.perf_counter() - began
