"""Stand-ins: what computes scores, pattern and result explicitly gives the model's own output, where it is asked to."""

from anylens.anatomy.points import Point
from anylens.conformance.compare import MANY, differences, same_bits, through
from anylens.conformance.report import Tally
from anylens.conformance.subject import Subject, said
from anylens.conformance.witness import Counting


def near_enough(subject: Subject, tally: Tally) -> None:
    """Compare the output with each stand-in in place, and with all of them, within the tolerance MANY."""
    points = [point for point in subject.canonical if point.needs_stand_in]
    if not points:
        tally.note("no point of this model needs a stand-in")
        return
    for group in [*([point] for point in subject.alone(points)), points]:
        what = group[0].name if len(group) == 1 else f"all {len(group)} stand-ins"
        try:
            found = differences(subject.output, subject.read(group)[0], through(p.dtype for p in group))
        except Exception as error:
            found = [said(error)]
        tally.expect(not found, what, found[0] if found else "")
    tally.note(f"tolerance, relative to the largest magnitude: {_tolerances()}")


def _tolerances() -> str:
    return ", ".join(f"{str(dtype).removeprefix('torch.')} {size:g}" for dtype, size in MANY.items())


def only_there(subject: Subject, tally: Tally) -> None:
    """One stand-in takes the place of one call of its function, and nothing before it changes by a bit."""
    inside = [point for point in subject.canonical if point.needs_stand_in and point.tap.rule is not None]
    for point in subject.alone(inside):
        assert point.tap.rule is not None
        base = point.name.rpartition(".")[0]
        beside = subject.by_name.get(f"{base}.hook_z")
        if beside is not None:
            _one_call(subject, tally, point, beside)
        _before(subject, tally, point)


def _one_call(subject: Subject, tally: Tally, point: Point, beside: Point) -> None:
    """One call of the function is missing, compared with a run in which the same scope is looked at."""
    function = point.tap.rule.function if point.tap.rule is not None else ""
    with Counting() as before:
        subject.read([beside])
    with Counting() as after:
        subject.read([point])
    fewer = before.counts[function] - after.counts[function]
    tally.expect(
        fewer == 1, point.name, f"its stand-in takes the place of {fewer} calls of {function}, not 1"
    )


def _before(subject: Subject, tally: Tally, point: Point) -> None:
    """What comes before a stand-in, its own operands among it, is as without it."""
    base = point.name.rpartition(".")[0]
    names = [f"{base}.hook_q", f"{base}.hook_k", f"{base}.hook_v"]
    if point.layer is not None:
        stem = base[: base.index("blocks.")]
        names += [f"{stem}blocks.{number}.hook_resid_pre" for number in range(point.layer + 1)]
    others = [subject.by_name[name] for name in names if name in subject.by_name]
    _, cache = subject.read([*others, point])
    for other in others:
        if other.name in subject.values:
            tally.expect(
                same_bits(subject.values[other.name], cache[other.name]),
                other.name,
                f"is changed by a stand-in at {point.name}, which comes after it",
            )
