"""The points that every model has: each module's inputs and outputs, and each operation's."""

from collections.abc import Iterator
from typing import Literal

from anylens.anatomy.anatomy import ModuleRecord, OpRecord, Tensor
from anylens.anatomy.points import Point, Tap
from anylens.core.names import join
from anylens.core.tree import show

Side = Literal["in", "out"]


def module_points(record: ModuleRecord) -> Iterator[Point]:
    """Yield `<path>.hook_in` and `<path>.hook_out`, and one of each for every further tensor.

    A module called several times in one forward has each call's points too: `<path>.calls.2.hook_out`.
    """
    turns = [None, *range(record.calls)] if record.calls > 1 else [None]
    for turn in turns:
        base = record.path if turn is None else join(record.path, f"calls.{turn}")
        calls = 1 if turn is None else record.calls
        call = record.each[turn or 0]
        sides: tuple[tuple[Side, tuple[Tensor, ...]], ...] = (("in", call.inputs), ("out", call.outputs))
        for side, tensors in sides:
            for number, tensor in enumerate(tensors):
                key = show(tensor.key) if number else ""
                tap = Tap(record.path, side, tensor.key, None, turn, calls, record.within)
                name = join(base, f"hook_{side}{key}")
                yield Point(name, tensor.axes, tensor.shape, tensor.dtype, tap, "native")


def op_points(record: OpRecord) -> Iterator[Point]:
    """Yield `<path>.op.<function>.<k>.hook_in` (and `[n]`) and `.hook_out` (and `[n]`)."""
    base = record.path if record.turn is None else join(record.path, f"calls.{record.turn}")
    sides: tuple[tuple[Side, tuple[Tensor, ...]], ...] = (("in", record.inputs), ("out", record.outputs))
    for side, tensors in sides:
        for number, tensor in enumerate(tensors):
            slot = f"[{number}]" if number else ""
            tap = Tap(record.path, side, number, record.rule, record.turn, record.calls, record.within)
            name = join(base, f"op.{record.name}.hook_{side}{slot}")
            yield Point(name, tensor.axes, tensor.shape, tensor.dtype, tap, "op")
