"""Where a value of the trace can be reached: the tap for writing it and, if cheaper, one for reading it."""

from typing import Literal

from anylens.anatomy.attention import Operand
from anylens.anatomy.labels import DEPTH
from anylens.anatomy.points import Rule, Tap
from anylens.anatomy.trace import Call, Op, Trace
from anylens.anatomy.vocabulary import ATTENTION
from anylens.core.tree import Key

_BY_NAME = ATTENTION | {"softmax"}  # found by function alone where a scope has one


def repeats(trace: Trace, call: Call) -> tuple[int | None, int, str]:
    """Return which call of its module this is, out of how many, counted within which module."""
    calls = trace.by_path[call.path]
    if len(calls) == 1:
        return None, 1, ""
    parent = call.parent
    while parent >= 0:
        around = trace.calls[parent]
        if len(trace.by_path[around.path]) == 1 and all(trace.within(other, around) for other in calls):
            return call.turn, len(calls), around.path
        parent = around.parent
    return call.turn, len(calls), ""


def module_tap(trace: Trace, call: Call, side: Literal["in", "out"], key: Key) -> Tap:
    """Return the tap at an input or output of a call."""
    turn, calls, within = repeats(trace, call)
    return Tap(call.path, side, key, None, turn, calls, within)


def rule_for(trace: Trace, op: Op) -> Rule:
    """Return the shallowest rule that tells an operation from the others of its scope."""
    peers = [peer for peer in trace.by_scope[op.call] if peer.function == op.function]
    depths = range(0 if op.function in _BY_NAME else 1, DEPTH + 1)
    for depth in depths:
        if depth >= len(op.labels):
            break
        same = [peer for peer in peers if peer.labels[depth] == op.labels[depth]]
        if len(same) == 1:
            return Rule(op.function, depth, op.labels[depth])
    depth = min(DEPTH, len(op.labels) - 1)
    same = [peer for peer in peers if peer.labels[depth] == op.labels[depth]]
    return Rule(op.function, depth, op.labels[depth], same.index(op), len(same))


def op_tap(trace: Trace, operand: Operand) -> Tap:
    """Return the tap at an operand or result of an operation."""
    scope = trace.scope(operand.op)
    assert scope is not None, "operations outside the model are not tapped"
    turn, calls, within = repeats(trace, scope)
    return Tap(scope.path, operand.side, operand.position, rule_for(trace, operand.op), turn, calls, within)


def inside_tap(trace: Trace, op: Op, site: str) -> Tap:
    """Return the tap at a named site inside the stand-in for an operation."""
    at = op_tap(trace, Operand(op, "in", 0))
    return Tap(at.path, "inside", site, at.rule, at.turn, at.calls, at.within)


def tap_for(trace: Trace, value: int) -> Tap | None:
    """Return the tap at which a write reaches every reader of a value, a module's where there is one."""
    readers = [
        op for op in trace.readers.get(value, ()) if value not in op.outputs
    ]  # not those that pass it on
    for call, key in reversed(
        trace.given_out.get(value, [])
    ):  # the outermost: behind dropout, if there is some
        if call.parent >= 0 and all(op.number >= call.end for op in readers) and not _hands_on(call, value):
            return module_tap(trace, call, "out", key)
    for call, key in trace.taken_in.get(value, ()):
        leaks = [c for c, _ in trace.given_out.get(value, ()) if not trace.within(c, call)]
        if not leaks and call.parent >= 0 and all(trace.inside(op, call) for op in readers):
            return module_tap(trace, call, "in", key)
    op = trace.maker(value)
    if op is not None and op.call >= 0:
        return op_tap(trace, Operand(op, "out", op.outputs.index(value)))
    if len(readers) == 1 and readers[0].call >= 0:
        return op_tap(trace, Operand(readers[0], "in", readers[0].inputs.index(value)))
    for call, key in trace.taken_in.get(value, ()) if op is None else ():
        if call.parent < 0:  # an input of the model, which several read
            return module_tap(trace, call, "in", key)
    return None


def _hands_on(call: Call, value: int) -> bool:
    """Whether an identity gives back what it takes: its caller may go on with either.

    What does nothing in evaluation alone, as a path that is dropped in training, is put in the place of what it takes.
    """
    return call.kind == "Identity" and call.begin == call.end and value in call.inputs.values()


def read_within(trace: Trace, value: int, call: Call) -> bool:
    """Whether a call that gives a value out reads it itself, so that a write behind the call comes too late."""
    readers = [op for op in trace.readers.get(value, ()) if value not in op.outputs]
    return any(trace.inside(op, call) for op in readers)


def added_tap(trace: Trace, add: Op, value: int, block: Call) -> Tap | None:
    """Return the tap of what a block adds: like `tap_for`, but behind any dropout between the value and the add.

    What is made outside the block, such as positions that each block adds anew, is reached at the add alone.
    """
    maker = trace.maker(value)
    if maker is not None and maker.number < block.begin and value in add.inputs:
        return op_tap(trace, Operand(add, "in", add.inputs.index(value)))
    tap = tap_for(trace, value)
    dropouts = [
        op
        for op in trace.readers.get(value, ())
        if "dropout" in op.function and value in op.outputs and op.number < add.number
    ]
    if tap is None or not dropouts or value not in add.inputs:
        return tap
    ends = [
        call.end for call, _ in trace.given_out.get(value, ()) if call.path == tap.path and tap.rule is None
    ]
    if ends and max(ends) > dropouts[-1].number:
        return tap
    return op_tap(trace, Operand(add, "in", add.inputs.index(value)))


def reader_for(trace: Trace, value: int) -> Tap | None:
    """Return a module's tap that carries a value, wherever it is: enough for reading it."""
    for call, key in trace.given_out.get(value, ()):
        return module_tap(trace, call, "out", key)
    for call, key in trace.taken_in.get(value, ()):
        if call.parent >= 0:
            return module_tap(trace, call, "in", key)
    return None
