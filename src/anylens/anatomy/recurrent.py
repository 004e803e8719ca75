"""The axes of what a recurrent function takes and gives: sequences, and the states that it ends with."""

from collections.abc import Iterator

from anylens.anatomy.trace import Op, Trace
from anylens.anatomy.vocabulary import RECURRENT
from anylens.core.axes import Axes


def recurrent_axes(trace: Trace) -> Iterator[tuple[int, Axes]]:
    """Yield the values that recurrent functions take and give, each with its axes."""
    for op in trace.ops:
        if op.function in RECURRENT and op.note:
            yield from _of_one(trace, op)


def _of_one(trace: Trace, op: Op) -> Iterator[tuple[int, Axes]]:
    first, ways = op.note.split(",")
    sequence = ("batch", "pos", "feature") if first == "batch" else ("pos", "batch", "feature")
    layers = (
        "layer" if ways == "one way" else "layer_direction"
    )  # forward and backward of each layer, in turn
    named = [(op.inputs[0], sequence), *((state, (layers, "batch", "feature")) for state in op.outputs[1:])]
    for value, axes in [(op.outputs[0], sequence), *named]:
        if len(trace.values[value].shape) == len(axes):
            yield value, axes
