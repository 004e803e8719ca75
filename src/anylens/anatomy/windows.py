"""Attention within windows: rows of the batch that were cut up, so that dimension 0 holds rows and windows together."""

from dataclasses import dataclass
from itertools import accumulate
from operator import mul

from anylens.anatomy.trace import Op, Trace

_FOLDS = frozenset({"view", "reshape", "flatten"})
REACH = 64  # how many operations may stand between the cutting up and the attention


@dataclass(frozen=True)
class Rows:
    """The size of the batch, if known, and whether dimension 0 of an attention's tensors is `(batch window)`."""

    batch: int | None = None
    folded: bool = False


def folds_rows(trace: Trace, value: int, batch: int | None) -> bool:
    """Whether windows were folded into dimension 0 of a value behind its batch, all windows of a row together.

    That shows in the reshape that made a dimension of this size out of the batch and those after it.
    """
    size = next(iter(trace.values[value].shape), 0)
    if not batch or size <= batch or size % batch:
        return False
    todo, seen = [value], {value}
    while todo and len(seen) < REACH:
        op = trace.maker(todo.pop(0))
        if op is None:
            continue
        if op.function in _FOLDS and _folds(trace, op, batch, size):
            return True
        fresh = [source for source in op.inputs if source not in seen and not trace.values[source].parameter]
        seen.update(fresh)
        todo += fresh
    return False


def _folds(trace: Trace, op: Op, batch: int, size: int) -> bool:
    before, after = trace.values[op.inputs[0]].shape, trace.values[op.outputs[0]].shape
    return before[:1] == (batch,) and after[:1] == (size,) and size in accumulate(before, mul)
