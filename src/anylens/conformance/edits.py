"""Edits: one at every point changes the output, arrives just once, and one that changes nothing changes nothing."""

from collections.abc import Callable
from typing import Any

import torch

from anylens.anatomy.points import Point
from anylens.anatomy.vocabulary import ADDS
from anylens.conformance.compare import differences, through
from anylens.conformance.deadends import plain_edit, why_dead
from anylens.conformance.report import Tally
from anylens.conformance.sampling import every_nth
from anylens.conformance.subject import Subject, changed, filled_memory, said
from anylens.conformance.sweep import Sweep

# These are what one product takes, by their meaning in the table: what else reads them keeps the model's own.
AT_THE_PRODUCT = frozenset({"hook_q", "hook_k", "hook_v"})


def change_the_output(subject: Subject, tally: Tally, sweep: Sweep) -> None:
    """Edit the canonical points one by one; where the output stays, find out without the lens whether it must."""
    dead = []
    for point in subject.edited:
        done = sweep.at(point)
        if done.error:
            tally.fail(point.name, f"cannot be edited: {done.error}")
            continue
        if done.live:
            tally.expect(True, point.name, "")
            continue
        why = why_dead(subject, sweep, point)
        tally.expect(
            bool(why), point.name, "an edit does not change the output, though the value matters to it"
        )
        if why:
            dead.append(f"{point.name} ({why})")
    for one in dead:
        tally.note(f"dead end: {one}")


def arrive_once(subject: Subject, tally: Tally, sweep: Sweep) -> None:
    """The model is seen to compute with exactly the edited value: not the old one, nor one changed twice."""
    for point in subject.edited:
        done = sweep.at(point)
        if done.error:
            continue
        tally.expect(done.calls == 1, point.name, f"the edit was asked {done.calls} times in one forward")
        twice = done.landed["twice"] + done.landed["twice over"]
        tally.expect(not twice, point.name, "the edit was applied twice")
        tally.expect(
            point.name.rpartition(".")[2] in AT_THE_PRODUCT
            or not done.landed["before"]
            or _added_from_outside(point)
            or _all_alike(subject.values.get(point.name)),
            point.name,
            "something in the model goes on with the value before the edit",
        )
        if done.live:
            tally.expect(
                done.landed["once"] > 0, point.name, "nothing in the model computes with the edited value"
            )


def _added_from_outside(point: Point) -> bool:
    """Whether a point is what a block takes from another module and adds: others go on with that as it was."""
    tap, reader = point.tap, point.reader
    added = tap.rule is not None and tap.side == "in" and tap.rule.function in ADDS
    return added and reader is not None and not f"{reader.path}.".startswith(f"{tap.path}.")


def _all_alike(value: torch.Tensor | None) -> bool:
    """Whether a value is one number throughout: zeros are seen everywhere, and tell nothing."""
    return value is not None and value.numel() > 0 and bool((value == value.flatten()[0]).all())


def keep_when_nothing_changes(subject: Subject, tally: Tally) -> None:
    """Writing a point's own value back gives the model's own output, bit for bit; stand-ins within tolerance."""
    for group in [*([point] for point in subject.alone(subject.canonical)), subject.plain, subject.canonical]:
        if not group:
            continue
        what = group[0].name if len(group) == 1 else f"{len(group)} points at once"
        inside = [point.dtype for point in group if point.needs_stand_in]
        tolerance = through(inside) if inside else None
        hooks = {point.name: lambda value, _: value for point in group}
        try:
            found = differences(subject.output, subject.edit(hooks), tolerance)
        except Exception as error:
            found = [said(error)]
        tally.expect(not found, what, f"written back as it is: {found[0]}" if found else "")


def sampled(subject: Subject) -> list[Point]:
    """Return the native points and the operations' points that are edited one by one."""
    ops = [point for point in subject.ops if point.dtype.startswith(("float", "bfloat"))]
    native = [point for point in subject.native if point.dtype.startswith(("float", "bfloat"))]
    return [
        *every_nth(native, subject.sampling.native),
        *every_nth(ops, subject.sampling.ops),
    ]


def at_native_points(subject: Subject, tally: Tally) -> None:
    """Edit native points and operations; the output must be what the same edit by a plain hook gives."""
    dead = sum(_beside_plain(subject, tally, point) for point in sampled(subject))
    if dead:
        tally.note(
            f"{dead} of the edited native points and operations are dead ends: plain hooks confirm each"
        )


def _beside_plain(subject: Subject, tally: Tally, point: Point) -> bool:
    """Make one edit with the lens and with a plain hook; return whether it is a dead end."""
    calls: list[int] = []

    def edit(value: torch.Tensor, _: object) -> torch.Tensor:
        calls.append(1)
        return changed(value)

    own, seen = plain_edit(subject, point), _outcome(lambda: subject.edit({point.name: edit}))
    if isinstance(own, str) and isinstance(seen, str):
        tally.note(f"{point.name}: the model refuses an edit there ({own[:60]})")
        return False
    if isinstance(own, str) or isinstance(seen, str):
        tally.fail(point.name, f"by a plain hook {_brief(own)}; by the lens {_brief(seen)}")
        return False
    tally.expect(len(calls) == 1, point.name, f"the edit was asked {len(calls)} times in one forward")
    found = differences(own, seen)
    if found:
        with filled_memory():
            found = differences(
                plain_edit(subject, point), _outcome(lambda: subject.edit({point.name: edit}))
            )
        tally.note(f"{point.name}: an edit there makes the model read memory that nothing has written")
    tally.expect(not found, point.name, f"a plain hook's edit gives another output: {''.join(found[:1])}")
    return not differences(subject.output, own)


def _outcome(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except Exception as error:
        return said(error)


def _brief(outcome: Any) -> str:
    return outcome if isinstance(outcome, str) else "an edit gives an output"
