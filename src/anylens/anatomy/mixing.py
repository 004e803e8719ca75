"""Mixing: whether a computation takes positions together, by what it does rather than by attention's form."""

from collections import Counter
from collections.abc import Iterable
from math import prod

from anylens.anatomy.paths import ancestors, behind_views, blends_copies, readers_behind
from anylens.anatomy.trace import Op, Trace
from anylens.anatomy.vocabulary import ADDS, CONVOLUTIONS, ELEMENTWISE, MAPS, PRODUCTS, SAME

# A recurrence or a transform over positions: what mixes positions without attention or convolution.
MIXES = frozenset(
    "cumsum cumprod logcumsumexp fft_fft fft_fftn fft_rfft fft_rfft2 softplus avg_pool2d".split()
)

# What decides which expert a position goes to: a product with what these give sends positions to experts and back.
CHOICES = frozenset("topk argmax one_hot scatter bincount sort argsort".split())

GATHERS = frozenset("getitem index_select gather take_along_dim".split())
SCATTERS = frozenset("index_add scatter_add scatter_reduce index_reduce index_put setitem".split())
SPREAD = SAME | frozenset(
    "view reshape expand expand_as unsqueeze repeat".split()
)  # an index stays what it is

Ops = dict[int, Op]


def mixes(trace: Trace, ops: Ops, stream: set[int]) -> bool:
    """Whether what `ops` compute from a stream takes positions together, other than by attention or a convolution."""
    named = any(
        op.function in MIXES and _is_float(trace, op) and not _scores(trace, op) for op in ops.values()
    )
    shapes = {trace.values[value].shape for value in stream}
    return (
        named
        or _one_by_one(trace, ops, stream)
        or _sums_over_positions(trace, ops, stream)
        or _weighs_positions(trace, ops, stream)
        or any(sends_rows(trace, ops.values(), shape) for shape in shapes)
    )


def _scores(trace: Trace, op: Op) -> bool:
    """Whether a softplus scores experts: some of its results are chosen. A recurrence takes it as a length of time."""
    if op.function != "softplus":
        return False
    readers = readers_behind(trace, op.outputs, ADDS | SAME | ELEMENTWISE)
    return any(reader.function in ("topk", "gather") for reader in readers)


def sends_rows(trace: Trace, ops: Iterable[Op], shape: tuple[int, ...]) -> bool:
    """Whether rows of something of a stream's shape are taken by one index and added up by another.

    So do layers over graphs, by indices that are given to them. Rows that go to experts and back do so by a choice.
    """
    taken, put = set[int](), set[int]()
    listed = list(ops)
    within = range(
        min((op.number for op in listed), default=0), max((op.number for op in listed), default=0) + 1
    )
    for op in listed:
        if op.function not in GATHERS | SCATTERS:
            continue
        indices = {
            behind_views(trace, value, SPREAD)
            for value in op.inputs[1:]
            if "int" in trace.values[value].dtype and len(trace.values[value].shape) > 0
        }
        if any(
            one.function in CHOICES for index in indices for one in ancestors(trace, index, within).values()
        ):
            continue
        if op.function in GATHERS and _as_rows(trace.values[op.inputs[0]].shape, shape):
            taken |= indices
        elif op.function in SCATTERS:
            put |= indices
    return bool(taken and put) and taken != put


def _as_rows(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return one[-1:] == other[-1:] and prod(one) == prod(other)


def convolves(trace: Trace, op: Op, ops: Ops) -> bool:
    """Whether an operation is a convolution that makes the computation around it one over positions.

    Its kernel is wider than one position. A depthwise one before the first map mixes what an MLP then takes position by
    position; behind a map it is inside.
    """
    if op.function not in CONVOLUTIONS:
        return False
    weight = trace.values[op.inputs[1]].shape if len(op.inputs) > 1 else ()
    if not any(size > 1 for size in weight[2:]):
        return False
    before = ancestors(trace, op.inputs[0], range(min(ops), op.number))
    return weight[1] > 1 or any(other.function in MAPS for number, other in before.items() if number in ops)


def _one_by_one(trace: Trace, ops: Ops, stream: set[int]) -> bool:
    """Whether something computed is taken apart position by position, as a recurrence written out does."""
    shapes = (trace.values[value].shape for value in stream)
    positions = {shape[1] for shape in shapes if len(shape) == 3}
    taken: Counter[tuple[int, int]] = Counter()
    for op in ops.values():
        for out in op.outputs if op.function in ("getitem", "select", "unbind") else ():
            source = op.inputs[0]
            before, after = trace.values[source].shape, trace.values[out].shape
            dims = [n for n in range(1, len(before)) if (*before[:n], *before[n + 1 :]) == after]
            if dims and "float" in trace.values[source].dtype and not trace.values[source].parameter:
                taken.update((source, dim) for dim in dims)
    sizes = {(trace.values[source].shape[dim], count) for (source, dim), count in taken.items()}
    return any(count >= size > 3 and size in positions for size, count in sizes)


def _sums_over_positions(trace: Trace, ops: Ops, stream: set[int]) -> bool:
    """Whether two things computed from the stream are multiplied over its positions, as linear attention does."""
    shapes = (trace.values[value].shape for value in stream)
    positions = {size for shape in shapes if len(shape) in (2, 3) for size in shape[:-1]}
    for op in ops.values():
        if op.function not in PRODUCTS or len(op.inputs) < 2:
            continue
        factors = op.inputs[-2:] if op.function in ("baddbmm", "addbmm") else op.inputs[:2]
        if _summed(trace, op, factors) & positions and all(
            _flows(trace, factor, ops, stream) for factor in factors
        ):
            return True
    return False


def _weighs_positions(trace: Trace, ops: Ops, stream: set[int]) -> bool:
    """Whether something computed from the stream is weighed by something else of it, and summed over the positions."""
    shapes = [trace.values[value].shape for value in stream]
    positions = {size for shape in shapes if len(shape) > 2 for size in shape[1:]}
    positions -= {size for shape in shapes if len(shape) == 3 for size in shape[2:]}
    positions -= _copies(trace, ops, stream)
    for op in ops.values():
        weighed = trace.maker(op.inputs[0]) if op.function == "sum" and op.note else None
        if weighed is None or weighed.function != "mul" or len(weighed.inputs) != 2:
            continue
        if trace.values[op.inputs[0]].shape[int(op.note)] not in positions:
            continue
        if all(_flows(trace, factor, ops, stream) for factor in weighed.inputs):
            return True
    return False


def _copies(trace: Trace, ops: Ops, stream: set[int]) -> set[int]:
    """Return how many copies of itself a stream has, which are blended on the way or written to by one value."""
    first = min(ops, default=0)
    reads = [(op, value) for value in stream for op in trace.readers.get(value, ())]
    return {
        trace.values[value].shape[2]
        for op, value in reads
        if blends_copies(trace, op, value, range(first, op.number))
        or (op.function in ADDS and any(spread_over_copies(trace, other) for other in op.inputs))
    }


def spread_over_copies(trace: Trace, value: int) -> bool:
    """Whether a value, `[batch, pos, copy, d_model]`, is one for all copies, times a weight for each of them."""
    op = trace.maker(behind_views(trace, value))
    if (
        op is None
        or op.function != "mul"
        or len(op.inputs) != 2
        or any(trace.maker(v) is None for v in op.inputs)
    ):
        return False
    *lead, copies, width = (0, 0, *trace.values[value].shape)[-4:]
    shapes = {trace.values[one].shape for one in op.inputs}
    return copies > 1 < width and shapes == {(*lead, copies, 1), (*lead, 1, width)}


def crosses_rows(trace: Trace, ops: Iterable[Op], shape: tuple[int, ...]) -> bool:
    """Whether dimension 0 of a flat stream is one over which rows meet: those of a graph, not of a batch."""
    listed = list(ops)
    return sends_rows(trace, listed, shape) or any(_by_neighbours(trace, op, shape) for op in listed)


def _by_neighbours(trace: Trace, op: Op, shape: tuple[int, ...]) -> bool:
    """Whether a product takes rows together by a square that is no parameter: who is whose neighbour."""
    if op.function not in PRODUCTS | {"_sparse_mm"} or len(op.inputs) < 2 or shape[0] < 2:
        return False
    left = trace.values[op.inputs[0]]
    square = left.shape[:2] == (shape[0], shape[0])
    return square and not left.parameter and shape[0] in _summed(trace, op, op.inputs[:2])


def _summed(trace: Trace, op: Op, factors: tuple[int, ...]) -> set[int]:
    """Return the sizes of the dimensions over which a product sums."""
    left, right = (trace.values[factor].shape for factor in factors)
    if op.note:
        sides, _, out = op.note.partition("->")
        letters, _, others = sides.partition(",")
        named = zip(letters, left, strict=False)
        return {size for letter, size in named if letter in others and letter not in out}
    return {left[-1]} if left and right else set()


def _flows(trace: Trace, value: int, ops: Ops, stream: set[int]) -> bool:
    """Whether a float is computed from the stream, and no choice of experts decides it."""
    if "float" not in trace.values[value].dtype:
        return False
    before = ancestors(trace, value, range(min(ops), max(ops) + 1), stream)
    fed = value in stream or any(set(op.inputs) & stream for op in before.values())
    return fed and not any(op.function in CHOICES for op in before.values())


def _is_float(trace: Trace, op: Op) -> bool:
    return "float" in trace.values[op.outputs[0]].dtype
