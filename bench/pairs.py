"""Time two functions in turns, so that whatever else the machine does falls on both alike."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Work = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """One line of the table: the median seconds of both, the median of their ratios, and the budget."""

    what: str
    ours: float
    base: float
    ratio: float
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
    times = []
    for number in range(rounds):
        if number % 2:
            first, second = seconds(ours), seconds(base)
        else:
            second, first = seconds(base), seconds(ours)
        times.append((first, second))
    ratio = statistics.median(first / second for first, second in times)
    return Row(what, *(statistics.median(column) for column in zip(*times, strict=True)), ratio, budget)


def show(rows: list[Row]) -> str:
    """Write the rows as a table."""
    head = f"{'what':58}  {'ours ms':>9}  {'base ms':>9}  {'ratio':>6}  budget"
    lines = [
        f"{row.what:58}  {row.ours * 1e3:9.3f}  {row.base * 1e3:9.3f}  {row.ratio:6.3f}  {row.budget}" for row in rows
    ]
    return "\n".join([head, "-" * len(head), *lines])
