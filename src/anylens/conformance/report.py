"""What the checks found: counts, failures with what was seen, and notes, as frozen data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anylens.core.errors import ConformanceError

MOST_SHOWN = 5  # failures and notes of one check that the table prints


@dataclass(frozen=True)
class Failure:
    """One thing that does not hold: the point (or the part of the output) and what was seen there."""

    point: str
    seen: str

    def __str__(self) -> str:
        return f"{self.point}: {self.seen}"


@dataclass(frozen=True)
class Outcome:
    """What one check found, in how many comparisons."""

    name: str
    meaning: str
    count: int
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether everything that was compared holds."""
        return not self.failures

    def line(self, width: int = 0) -> str:
        """Write the verdict, the name, the count, the seconds and the meaning."""
        verdict = "ok    " if self.ok else "FAILED"
        return f"{verdict}  {self.name:<{width}}  {self.count:>6}  {self.seconds:>6.1f} s  {self.meaning}"


@dataclass(frozen=True)
class Report:
    """The outcomes of all checks on one lens."""

    model: str
    outcomes: tuple[Outcome, ...]
    scope: tuple[str, ...] = ()  # how many points there are, and which of them were edited

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(outcome.ok for outcome in self.outcomes)

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the checks that do not hold."""
        return tuple(outcome.name for outcome in self.outcomes if not outcome.ok)

    def __getitem__(self, name: str) -> Outcome:
        return {outcome.name: outcome for outcome in self.outcomes}[name]

    def table(self) -> str:
        """Write the checks with their counts, and under each what failed and what is to be known."""
        width = max(len(outcome.name) for outcome in self.outcomes)
        lines = [self.model, *self.scope, ""]
        for outcome in self.outcomes:
            lines.append(outcome.line(width))
            lines += _listed("    failed: ", [str(failure) for failure in outcome.failures])
            lines += _listed("    note: ", list(outcome.notes))
        total = sum(outcome.count for outcome in self.outcomes)
        failures = sum(len(outcome.failures) for outcome in self.outcomes)
        verdict = "all hold" if self.ok else f"{failures} failures in {', '.join(self.failed)}"
        return "\n".join([*lines, "", f"{len(self.outcomes)} checks, {total} comparisons: {verdict}"])

    def as_data(self) -> dict[str, Any]:
        """Return the report as plain data, for JSON."""
        checks = [
            {
                "name": outcome.name,
                "meaning": outcome.meaning,
                "ok": outcome.ok,
                "count": outcome.count,
                "seconds": round(outcome.seconds, 2),
                "failures": [{"point": f.point, "seen": f.seen} for f in outcome.failures],
                "notes": list(outcome.notes),
            }
            for outcome in self.outcomes
        ]
        return {"model": self.model, "ok": self.ok, "scope": list(self.scope), "checks": checks}

    def require(self) -> "Report":
        """Return the report if every check holds.

        Raises ConformanceError with the table otherwise.
        """
        if not self.ok:
            raise ConformanceError(f"The lens does not keep the contract.\n{self.table()}")
        return self

    def __repr__(self) -> str:
        return self.table()


def together(model: str, reports: Mapping[str, Report]) -> Report:
    """Return one report on the parts of a pipeline; failures, notes and scope name their part."""
    each = list(reports.values())
    outcomes = tuple(
        Outcome(
            first.name,
            first.meaning,
            sum(report[first.name].count for report in each),
            tuple(
                Failure(f"{path}: {failure.point}", failure.seen)
                for path, report in reports.items()
                for failure in report[first.name].failures
            ),
            tuple(f"{path}: {note}" for path, report in reports.items() for note in report[first.name].notes),
            sum(report[first.name].seconds for report in each),
        )
        for first in (each[0].outcomes if each else ())
    )
    scope = tuple(f"{path}: {line}" for path, report in reports.items() for line in report.scope[:1])
    return Report(model, outcomes, scope)


def _listed(mark: str, lines: list[str]) -> list[str]:
    more = len(lines) - MOST_SHOWN
    return [f"{mark}{line}" for line in lines[:MOST_SHOWN]] + ([f"{mark}and {more} more"] if more > 0 else [])


@dataclass
class Tally:
    """What a check fills while it runs."""

    count: int = 0
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def expect(self, holds: bool, point: str, seen: str) -> None:
        """Count a comparison; keep what was seen if it does not hold."""
        self.count += 1
        if not holds:
            self.failures.append(Failure(point, seen))

    def fail(self, point: str, seen: str) -> None:
        """Count a comparison that does not hold."""
        self.expect(False, point, seen)

    def note(self, text: str) -> None:
        """Keep something a reader should know, once."""
        if text not in self.notes:
            self.notes.append(text)
