"""Run the checks on a lens."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from anylens.conformance.report import Outcome, Report, Tally, together
from anylens.conformance.sampling import Sampling
from anylens.conformance.subject import Chosen, Subject, said, without_example
from anylens.conformance.sweep import Sweep
from anylens.conformance.table import CHECKS, Check
from anylens.core.errors import UnknownPointError
from anylens.lens import Lens
from anylens.pipelines import PipelineLens
from anylens.running.examples import Arguments, as_arguments, unpack

Progress = Callable[[Outcome], None]
How = tuple[list[Check], Sampling, Progress | None]


def check(
    lens: Lens,
    example: Any = None,
    *,
    points: str | Iterable[str] | None = None,
    checks: Iterable[str] | None = None,
    sampling: Sampling | None = None,
    progress: Progress | None = None,
) -> Report:
    """Check that a lens keeps the contract on one input.

    Args:
        lens: the lens; a model that was not watched yet is watched on the example.
            Each model that a pipeline runs is checked, on what the pipeline gave it first.
        example: an input as `attach` takes it. Without one, the lens's family is asked for one.
        points: names or globs to narrow the checks to; all points if not given.
        checks: names of checks to run; all of `CHECKS` if not given.
        sampling: which points are edited one by one.
        progress: called with the outcome of each check as it ends.

    Raises:
        ConformanceError: there is no example.
        UnknownPointError: no such point or check.
    """
    how = (chosen(checks), sampling or Sampling(), progress)
    given = _example(lens, example)
    if not _watched(lens):
        lens.watch(given)
    names = _names(lens, points)
    if isinstance(lens, PipelineLens):
        reports = {
            path: _check(part, lens.examples[path], _below(path, names), how)
            for path, part in lens.parts.items()
        }
        return together(type(lens.model).__name__, reports)
    return _check(lens, given, names, how)


def _check(lens: Lens, given: Arguments, names: set[str] | None, how: How) -> Report:
    """Check one model."""
    checks, sampling, progress = how
    subject = Subject(lens, given, names, sampling)
    sweep = Sweep(subject)
    with _fused_encoder_off():
        outcomes = tuple(_judge(one, subject, sweep, progress) for one in checks)
    return Report(type(lens.model).__name__, outcomes, _scope(subject))


def _below(path: str, names: set[str] | None) -> set[str] | None:
    """Return the names that lie in a part, as the part has them."""
    return names and {name.removeprefix(f"{path}.") for name in names if name.startswith(f"{path}.")}


def chosen(names: Iterable[str] | None) -> list[Check]:
    """Return the checks of these names, in the order of the table."""
    if names is None:
        return list(CHECKS)
    wanted = set(names)
    for name in wanted - {one.name for one in CHECKS}:
        raise UnknownPointError.among(name, [one.name for one in CHECKS])
    return [one for one in CHECKS if one.name in wanted]


def _judge(one: Check, subject: Subject, sweep: Sweep, progress: Progress | None = None) -> Outcome:
    """Run one check; what it raises is a failure of its own."""
    tally, began = Tally(), time.perf_counter()
    try:
        one.judge(subject, tally, sweep)
    except Exception as error:
        tally.fail("(the check itself)", said(error))
    seconds = time.perf_counter() - began
    found = Outcome(one.name, one.meaning, tally.count, tuple(tally.failures), tuple(tally.notes), seconds)
    if progress is not None:
        progress(found)
    return found


@contextmanager
def _fused_encoder_off() -> Iterator[None]:
    """Keep torch's encoder layers off their fused path, which any hook or mode would switch off."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _example(lens: Lens, example: Any) -> Arguments:
    if example is None and lens.family is not None:
        example = lens.family.example_of(lens.model)
    if example is None:
        raise without_example(lens)
    return unpack(*as_arguments(example, lens.model), lens.model)


def _watched(lens: Lens) -> bool:
    return lens._anatomy is not None


def _names(lens: Lens, points: str | Iterable[str] | None) -> set[str] | None:
    return None if points is None else {point.name for point in lens.points.select(points)}


def _scope(subject: Subject) -> tuple[str, ...]:
    """Say how many points there are, and by which rule some of them are edited."""
    most = subject.sampling
    return (
        f"{len(subject.canonical)} canonical, {len(subject.native_all)} native points and {len(subject.ops)} of "
        f"operations: all are read; {len(subject.edited)} canonical ones are edited one by one:",
        f"those outside the blocks, and {'; '.join(_of_blocks(part) for part in subject.parts) or 'no blocks'};",
        f"of the others every n-th is edited, at most {most.native} native ones and {most.ops} of operations;",
        f"what holds for all canonical points together is tried with at most {most.alone} of the edited ones alone.",
    )


def _of_blocks(part: Chosen) -> str:
    where = f" of {part.prefix}" if part.prefix else ""
    if len(part.chosen) == part.count:
        return f"all {part.count} blocks{where}"
    listed = ", ".join(map(str, part.chosen))
    return f"of {part.count} blocks{where} {listed}: first, middle, last, and the first with a name they lack"
