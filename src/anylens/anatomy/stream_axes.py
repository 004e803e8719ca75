"""The axes of a residual stream, read off the operations that take it."""

from math import inf

from anylens.anatomy.heads import query_axes
from anylens.anatomy.mixing import crosses_rows, spread_over_copies
from anylens.anatomy.paths import blends_copies, cheapest, sources
from anylens.anatomy.streams import Stream
from anylens.anatomy.trace import Op, Trace
from anylens.anatomy.turns import order_between
from anylens.anatomy.vocabulary import CONVOLUTIONS, HEAVY, NORMS, VIEWS
from anylens.core.axes import Axes

_SPACE = {1: ("pos",), 2: ("height", "width"), 3: ("frame", "height", "width")}


def stream_axes(trace: Trace, stream: Stream) -> Axes:
    """Return the names of a stream's axes."""
    call = stream.blocks[0].call
    value = stream.blocks[0].entered
    if value is None:
        return ("batch", "pos", "d_model")
    shape = trace.values[value].shape
    space = _SPACE.get(len(shape) - 2)
    if len(shape) == 2:
        return ("pos" if _packed(trace, stream, shape) else "batch", "d_model")
    if space is None:
        return ("d_model",) if len(shape) == 1 else ()
    if _of_copies(trace, stream):
        return ("batch", "pos", "copy", "d_model")
    if len(shape) == 4 and _in_windows(trace, stream, shape):
        return ("batch", "window", "pos", "d_model")
    if _channels_first(trace, trace.ops[call.begin : call.end], value):
        return ("batch", "channel", *space)
    if len(shape) == 3 and _positions_first(trace, stream, shape):
        return ("pos", "batch", "d_model")
    return ("batch", *space, "d_model")


def _of_copies(trace: Trace, stream: Stream) -> bool:
    """Whether blocks blend copies of the stream before they add to them, or write one value to all copies."""
    steps = [(block, step) for block in stream.blocks for step in (block.path.steps if block.path else ())]
    if any(blends_copies(trace, step.op, step.source, block.ops) for block, step in steps):
        return True
    writes = [write.value for block in stream.blocks for one in block.sums for write in one.writes]
    return bool(writes) and all(spread_over_copies(trace, value) for value in writes)


def _queries(trace: Trace, stream: Stream) -> list[tuple[int, ...]]:
    writes = (write for block in stream.blocks for one in block.sums for write in one.writes)
    return [trace.values[one.query.value].shape for write in writes for one in write.attention]


def _packed(trace: Trace, stream: Stream, shape: tuple[int, ...]) -> bool:
    """Whether dimension 0 of a flat stream holds positions, those of all inputs: attention, or a graph, mixes them."""
    if any(crosses_rows(trace, trace.ops[one.ops.start : one.ops.stop], shape) for one in stream.blocks):
        return True
    queries = [query for query in _queries(trace, stream) if len(query) > 2]
    return bool(queries) and all(query[0] != shape[0] or shape[0] == 1 < query[-2] for query in queries)


def _in_windows(trace: Trace, stream: Stream, shape: tuple[int, ...]) -> bool:
    """Whether all attention runs along dimension 2 alone, for each entry of dimensions 0 and 1 apart."""
    queries = _queries(trace, stream)
    rows = shape[0] * shape[1]
    fits = bool(queries) and all(len(q) > 2 and q[0] == rows and q[-2] == shape[2] for q in queries)
    return fits and not _cut_up(trace, stream)


def _cut_up(trace: Trace, stream: Stream) -> bool:
    """Whether a block cuts dimensions 1 and 2 into windows itself, which may happen to have these sizes."""
    for block in stream.blocks:
        entered = block.entered
        asked = [one.query.value for each in block.sums for write in each.writes for one in write.attention]
        path = cheapest(trace, entered, asked[0], block.ops, inf) if entered is not None and asked else None
        for step in path.steps if path else ():
            before, after = (trace.values[value].shape for value in (step.source, step.target))
            if before[:3] == after[:3]:
                continue
            if step.op.function in VIEWS and after[:1] != (before[0] * before[1],):
                return True
            break
    return False


def _channels_first(trace: Trace, ops: tuple[Op, ...], value: int) -> bool:
    """Whether the first operation that looks at features finds them in dimension 1 of a value, turned or not."""
    shape = trace.values[value].shape
    for op in ops:
        if op.function in ("group_norm", "batch_norm"):
            return True
        if op.function in NORMS or op.function in HEAVY:
            order = order_between(trace, value, op.inputs[0])
            if order is None and value not in sources(
                trace, op.inputs[0], range(ops[0].number, op.number), [value]
            ):
                continue  # it embeds positions, or takes what else enters
            if order is not None:
                return order[1 if op.function in CONVOLUTIONS else -1] == "axis1"
            return op.function in CONVOLUTIONS and trace.values[op.inputs[0]].shape[1:2] == shape[1:2]
    return False


def _positions_first(trace: Trace, stream: Stream, shape: tuple[int, ...]) -> bool:
    """Whether attention takes dimension 0 of the stream as its positions and dimension 1 as its batch."""
    first = stream.blocks[0]
    for write in (write for one in first.sums for write in one.writes):
        for attention in write.attention:
            if named := query_axes(attention):  # an einsum says what it takes
                return named[:2] == ("pos", "batch")
            query = trace.values[attention.query.value].shape
            if len(query) < 3 or shape[0] == shape[1]:
                continue
            return query[-2] == shape[0] and query[0] % shape[1] == 0
    return False
