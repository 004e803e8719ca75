"""Every point is reached exactly once in a forward, with the shape, dtype and axes that it announces."""

from collections import Counter
from typing import Any

import torch

from anylens.anatomy.points import Point
from anylens.conformance.report import Tally
from anylens.conformance.subject import Subject, said
from anylens.core import arguments
from anylens.running.actions import At


def fires_once(subject: Subject, tally: Tally) -> None:
    """Count the visits of every point; capture every point, and see that each name has its one value."""
    for group in subject.batches([*subject.canonical, *subject.native_all, *subject.ops]):
        _count(subject, tally, group)
    for group in subject.batches([*subject.canonical, *subject.native, *subject.ops]):
        values, errors = subject.read_each(group)
        for point in group:
            if point.name not in values:
                tally.fail(point.name, errors.get(point.name, "was not captured"))
    for name, error in _unreadable(subject).items():
        tally.fail(name, f"read alone: {error}")


def _unreadable(subject: Subject) -> dict[str, str]:
    """Read canonical points alone: they have no other's taps to lean on."""
    found = {}
    for point in subject.alone(subject.plain):
        try:
            subject.read([point])
        except Exception as error:
            found[point.name] = said(error)
    return found


def _count(subject: Subject, tally: Tally, group: list[Point]) -> None:
    visits: Counter[str] = Counter()

    def count(_: torch.Tensor, at: At) -> None:
        visits[at.name] += 1

    hooks: dict[str, Any] = {point.name: count for point in group}
    try:
        subject.edit(hooks)
    except Exception as error:
        if len(group) == 1:
            tally.fail(group[0].name, said(error))
            return
        if len(tally.failures) > 12:
            return
        _count(subject, tally, group[: len(group) // 2])
        _count(subject, tally, group[len(group) // 2 :])
        return
    for point in group:
        times = subject.times(point)
        seen = visits[point.name]
        tally.expect(seen == times, point.name, f"was reached {seen} times in one forward, not {times}")


def as_announced(subject: Subject, tally: Tally) -> None:
    """Compare shape, dtype and number of axes of every captured value with what the point says."""
    alike = _like_the_watched(subject)
    if not alike:
        tally.note(
            "the example has other shapes than the watched forward: only ranks and dtypes are compared"
        )
    for group in subject.batches([*subject.canonical, *subject.native, *subject.ops]):
        for name, value in subject.read_each(group)[0].items():
            point = subject.lens.points[name]
            dtype = str(value.dtype).removeprefix("torch.")
            shape = tuple(value.shape)
            tally.expect(len(point.axes) == len(shape), name, f"has {len(shape)} axes, not {point.axes}")
            tally.expect(dtype == point.dtype, name, f"is {dtype}, not {point.dtype}")
            tally.expect(not alike or shape == point.shape, name, f"has shape {shape}, not {point.shape}")
            tally.expect(len(set(point.axes)) == len(point.axes), name, f"names an axis twice: {point.axes}")


def _like_the_watched(subject: Subject) -> bool:
    """Whether the input has the shapes of the one that was watched."""
    record = subject.lens.anatomy.by_path[""]
    given = arguments.tensors(subject.model, *subject.given)
    return [(t.key, t.shape) for t in record.each[0].inputs] == [
        (key, tuple(value.shape)) for key, value in given
    ]
