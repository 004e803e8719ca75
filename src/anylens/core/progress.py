"""One line on stderr that says how far a long run is."""

import sys
import time
from types import TracebackType
from typing import Self, TextIO


class Progress:
    """Shows rows, or another unit, how many per second and the time left, at most four times a second."""

    def __init__(
        self, what: str, *, unit: str = "rows", shown: bool | None = None, stream: TextIO | None = None
    ) -> None:
        self.what, self.unit = what, unit
        self.stream = stream or sys.stderr
        self.shown = self.stream.isatty() if shown is None else shown
        self.began = self.last = time.monotonic()

    def tell(self, rows: int, done: float | None = None, more: str = "") -> None:
        """Say how many rows there are since the beginning, and what share of the whole is done, where that is known."""
        now = time.monotonic()
        if not self.shown or now - self.last < 0.25:
            return
        self.last = now
        seconds = max(now - self.began, 1e-9)
        left = f", {_clock(seconds / done - seconds)} left" if done else ""
        share = f"{done:.0%}, " if done is not None else ""
        line = f"{self.what}: {share}{rows:,} {self.unit}, {rows / seconds:,.0f} {self.unit}/s{left}{more}"
        print(f"\r{line:<78}", end="", file=self.stream, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self.shown:
            print(file=self.stream)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
