"""Turned tensors: the order of a stream's axes in each value, where a block permutes it on the way."""

from math import prod

from anylens.anatomy.paths import Step, cheapest
from anylens.anatomy.streams import Block, Stream
from anylens.anatomy.trace import Op, Trace
from anylens.anatomy.vocabulary import ADDS, CHEAP_LIMIT, CONCATENATIONS, SAME, VIEWS

Order = tuple[str, ...]


def turned(op: Op, order: Order) -> Order:
    """Return the order of axes behind an operation that may turn them."""
    dims = [int(dim) for dim in op.note.split(",")] if op.note else []
    if op.function == "permute" and len(dims) == len(order):
        return tuple(order[dim] for dim in dims)
    if op.function == "transpose" and len(dims) == 2 and max(dims) < len(order):
        swapped = list(order)
        swapped[dims[0]], swapped[dims[1]] = swapped[dims[1]], swapped[dims[0]]
        return tuple(swapped)
    return order


def order_between(trace: Trace, start: int, value: int) -> Order | None:
    """Return which of `axis0`, `axis1`, ... of `start` each dimension of `value` holds, behind views and adds alone."""
    steps: list[Op] = []
    while value != start:
        op = trace.maker(value)
        if op is None or not op.inputs or op.function not in VIEWS | SAME | ADDS:
            return None
        steps.append(op)
        value = op.inputs[0]
    order: Order | None = tuple(f"axis{n}" for n in range(len(trace.values[start].shape)))
    for op in reversed(steps):
        order = order and moved(trace, op, order)
    return order


def moved(trace: Trace, op: Op, order: Order) -> Order | None:
    """Return the axes behind any view of a value: several in one dimension are written in brackets, as einops does.

    None for what is not a view, or cuts something off.
    """
    before, after = (trace.values[value].shape for value in (op.inputs[0], op.outputs[0]))
    if op.function in ("permute", "transpose"):
        return turned(op, order)
    if before == after:
        return order
    if prod(before) != prod(after) or op.function not in VIEWS | SAME | ADDS:
        return None
    return _regrouped(_split(order, before), after)


def _split(order: Order, shape: tuple[int, ...]) -> list[tuple[str, int]]:
    return [(name, size) for name, size in zip(order, shape, strict=True) if name != "1"]


def _regrouped(named: list[tuple[str, int]], after: tuple[int, ...]) -> Order | None:
    """Name the dimensions of a shape by those of another with the same numbers in the same order."""
    found: list[str] = []
    left = list(named)
    for size in after:
        taken: list[str] = []
        have = 1
        while left and have < size:
            name, more = left.pop(0)
            taken.append(name)
            have *= more
        if have != size:
            return None
        if not taken and left and left[0][1] == 1:
            taken.append(left.pop(0)[0])
        names = " ".join(taken).replace("(", "").replace(")", "")
        found.append(f"({names})" if len(names.split()) > 1 else names or "1")
    return None if left else tuple(found)


def turned_values(trace: Trace, stream: Stream, axes: Order) -> dict[int, Order]:
    """Return the order of the axes in the values of a stream, and in what is added to it, where it is another."""
    found: dict[int, Order] = {}
    order = axes
    for number, block in enumerate(stream.blocks):
        handed = number and block.entered == stream.blocks[number - 1].left
        order = _follow(trace, block, order if handed else axes, found)
    return {value: order for value, order in found.items() if order != axes}


def order_before(trace: Trace, value: int, start: int, axes: Order) -> Order | None:
    """Return the order of the axes in a value that a stream comes from, where it is turned on the way; else None."""
    path = cheapest(trace, value, start, range(len(trace.ops)), CHEAP_LIMIT)
    plain: Order = tuple(f"axis{n}" for n in range(len(trace.values[value].shape)))
    now: Order | None = plain
    for step in path.steps if path else ():
        now = _behind(trace, step, now)
    if now is None or now == plain or sorted(now) != sorted(plain) or len(now) != len(axes):
        return None
    return tuple(axes[now.index(name)] for name in plain)


def _follow(trace: Trace, block: Block, order: Order, found: dict[int, Order]) -> Order:
    if block.entered is None or block.path is None:
        return order
    now: Order | None = order
    found[block.entered] = order
    writes = {one.after: [write.value for write in one.writes] for one in block.sums}
    for step in block.path.steps:
        now = _behind(trace, step, now)
        if now is None:
            return order
        found.setdefault(step.target, now)
        found.update((value, now) for value in writes.get(step.target, ()))
    return now or order


def _behind(trace: Trace, step: Step, order: Order | None) -> Order | None:
    """Return the order of the axes behind one step of a stream; whatever is computed or joined there keeps it."""
    if order is None or step.op.function in VIEWS:
        return order and moved(trace, step.op, order)
    before, after = (trace.values[value].shape for value in (step.source, step.target))
    longer = sum(one != other for one, other in zip(before, after, strict=False))
    joined = step.op.function in CONCATENATIONS and len(before) == len(after) and longer == 1
    return order if before == after or joined else None
