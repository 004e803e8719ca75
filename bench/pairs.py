"""Time two functions in turns, so that whatever else the machine does falls on both alike."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Work = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """One line of the table: medians of the seconds of both, of their ratios, and of their differences."""

    what: str
    ours: float
    base: float
    ratio: float
    extra: float
    budget: str = ""


def seconds(work: Work) -> float:
    """Time one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(what: str, ours: Work, base: Work, *, rounds: int, budget: str = "") -> Row:
    """Time both `rounds` times in turns, after two rounds that do not count; the order changes each round."""
    for _ in range(2):
        ours(), base()
    pairs = []
    for number in range(rounds):
        if number % 2:
            first, second = seconds(ours), seconds(base)
        else:
            second, first = seconds(base), seconds(ours)
        pairs.append((first, second))
    return Row(
        what,
        statistics.median(first for first, _ in pairs),
        statistics.median(second for _, second in pairs),
        statistics.median(first / second for first, second in pairs),
        statistics.median(first - second for first, second in pairs),
        budget,
    )


def show(rows: list[Row]) -> str:
    """Write the rows as a table; times in milliseconds."""
    wide = max(len(row.what) for row in rows)
    head = f"{'ours / base':{wide}}  {'ours':>9}  {'base':>9}  {'ratio':>6}  {'extra':>8}  budget"
    lines = [
        f"{row.what:{wide}}  {row.ours * 1e3:9.3f}  {row.base * 1e3:9.3f}  {row.ratio:6.3f}  "
        f"{row.extra * 1e3:8.3f}  {row.budget}"
        for row in rows
    ]
    return "\n".join([head, "-" * len(head), *lines])
