"""Runs stand alone: ending early or running again gives each run its own values."""

from typing import Any

import torch

from anylens.anatomy.points import Point
from anylens.conformance.compare import differences, same_bits
from anylens.conformance.report import Tally
from anylens.conformance.sampling import every_nth
from anylens.conformance.subject import Subject, noise, said
from anylens.conformance.witness import Witness, place_of
from anylens.core.tree import leaves, replace
from anylens.lens import Lens
from anylens.running.examples import Arguments


def early(subject: Subject, tally: Tally) -> None:
    """`stop_early` gives the values of a full run, whether one point is asked for or all, edited or not."""
    points = subject.canonical or subject.native
    for group in [*([point] for point in every_nth(points, 24)), subject.plain]:
        if group:
            _stopped(subject, tally, group, None)
    if len(subject.plain) > 1:
        first = subject.plain[0].name
        hooks = {first: lambda value, _: value + noise(value) if value.is_floating_point() else value}
        _stopped(subject, tally, subject.plain[1 : 2 + len(subject.plain) // 2], hooks)


def _stopped(subject: Subject, tally: Tally, group: list[Point], hooks: Any) -> None:
    what = group[0].name if len(group) == 1 else f"{len(group)} points"
    try:
        _, whole = subject.read(group, hooks=hooks)
        output, part = subject.read(group, hooks=hooks, stop_early=True)
    except Exception as error:
        tally.fail(what, f"with stop_early: {said(error)}")
        return
    tally.expect(output is None, what, "stop_early ran to the end")
    for name in whole:
        holds = name in part and same_bits(whole[name], part[name])
        tally.expect(holds, name, "has another value when the forward is ended early")


def own_values(subject: Subject, tally: Tally) -> None:
    """A second run on another input gives what a new lens gives there, and what the first gave stays as it was."""
    given = another(subject)
    if given is None:
        tally.note("no other input was found that gives another output")
        return
    points = [*subject.plain, *subject.native]
    group = next(iter(subject.batches(points)), [])
    try:
        _, first = subject.read(group)
        kept = {name: value.clone() for name, value in first.items()}
        _, second = subject.read(group, given=given)
        fresh = Subject(_new(subject.lens), given, subject.names, subject.sampling)
        _, alone = fresh.read(group)
    except Exception as error:
        tally.fail("two runs", said(error))
        return
    for name, value in kept.items():
        tally.expect(same_bits(value, first[name]), name, "the first run's value changed with the second run")
        tally.expect(
            same_bits(alone[name], second[name]), name, "is another in a second run than in a first one"
        )
    _witnessed(tally, subject, given, dict(second))


def _witnessed(tally: Tally, subject: Subject, given: Arguments, second: dict[str, torch.Tensor]) -> None:
    """Plain hooks on the second input see what the second run captured."""
    places = {point.name: place_of(point) for point in subject.native if point.name in second}
    witness = Witness(subject.model, places.values())
    with witness.watching():
        subject.own(given)
    for name, place in places.items():
        seen = witness.seen.get(place)
        holds = seen is not None and same_bits(seen, second[name])
        tally.expect(holds, name, "is not what a plain hook sees on the second input")


def _new(lens: Lens) -> Lens:
    return Lens(lens.model, anatomy=lens.anatomy, family=lens.family)


def another(subject: Subject) -> Arguments | None:
    """Return an input of the same shape on which the model gives another output."""
    whole: Any = subject.given
    for key, tensor in list(leaves(whole)):
        dims = [d for d in range(tensor.dim()) if tensor.shape[d] > 1]
        whole = replace(whole, key, tensor.flip(dims[-1]) if dims else tensor)
    given = (tuple(whole[0]), whole[1])
    try:
        return given if differences(subject.output, subject.own(given)) else None
    except Exception:
        return None
