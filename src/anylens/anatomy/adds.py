"""Adds: what one operation on a stream adds to it, however the add is written."""

from dataclasses import dataclass

from anylens.anatomy.paths import Path, Step
from anylens.anatomy.trace import Op, Trace
from anylens.anatomy.vocabulary import ADDS


@dataclass(frozen=True)
class Added:
    """What is added to a stream at one operation.

    `values` are added one by one. Where the operation scales what it adds, or adds a product, they are what that is
    computed from, no tensor holds exactly what is added, and `scaled` says how.
    """

    before: int  # the stream as it enters
    values: tuple[int, ...]
    scaled: str = ""


def added_at(trace: Trace, path: Path, number: int) -> Added | None:
    """Return what step `number` of a path adds to what runs along the path, or None if it adds nothing."""
    step = path.steps[number]
    if step.op.function == "sum":
        return _stacked(trace, path.steps[number - 1], step) if number else None
    place = step.op.inputs.index(step.source)
    others = tuple(value for value in step.op.inputs if value != step.source)
    expected = {"addcmul": 2, "addcdiv": 2}.get(step.op.function, 1)
    operands = len(step.op.inputs) - (1 if step.op.function == "lerp" and len(step.op.inputs) == 3 else 0)
    if operands != expected + 1 or len(others) != len(step.op.inputs) - 1:
        return None
    return _of_one(step.op, step.source, place, others)


def _of_one(op: Op, source: int, place: int, others: tuple[int, ...]) -> Added | None:
    """Read an operation that takes the stream, as operand `place`, and what it adds."""
    if op.function in ADDS:
        scaled = f"its add scales what it adds ({op.note})" if op.note else ""
        return Added(source, others, scaled)
    if op.function in ("sub", "rsub") and place == (op.function == "rsub"):
        return Added(source, others, "it is subtracted")
    if op.function == "lerp" and place < 2:
        return Added(source, others[:1], "lerp scales both the stream and what it adds")
    if op.function in ("addcmul", "addcdiv") and place == 0:
        return Added(source, others, f"{op.function} adds a product")
    return None


def _stacked(trace: Trace, before: Step, step: Step) -> Added | None:
    """Read a sum over what was stacked just before: the stream and what is added to it."""
    stacked = trace.values[step.source].shape
    whole = len(trace.values[step.target].shape) == len(stacked) - 1
    if before.op.function != "stack" or not whole or not (before.op.note and step.op.note):
        return None
    dims = {int(op.note) % len(stacked) for op in (before.op, step.op)}
    others = tuple(value for value in before.op.inputs if value != before.source)
    alone = len(others) == len(before.op.inputs) - 1
    return Added(before.source, others) if len(dims) == 1 and alone and others else None
