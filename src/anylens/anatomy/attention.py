"""Attention, found by what it computes: a scaled dot product, or matmul, softmax, matmul written out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from anylens.anatomy.paths import behind_views
from anylens.anatomy.trace import Op, Trace
from anylens.anatomy.vocabulary import ADDS, ATTENTION, ELEMENTWISE, JOINS, PRODUCTS, REDUCTIONS, SAME, VIEWS

CHEAP = ADDS | VIEWS | SAME | ELEMENTWISE | JOINS | REDUCTIONS
REACH = 16  # how many cheap functions may stand between the softmax and its products


@dataclass(frozen=True)
class Operand:
    """A tensor of an operation: which one, and on which side."""

    op: Op
    side: Literal["in", "out"]
    position: int

    @property
    def value(self) -> int:
        """The value's number."""
        return (self.op.inputs if self.side == "in" else self.op.outputs)[self.position]


@dataclass(frozen=True)
class Attention:
    """The operations of one attention: its first product, its softmax, its second product.

    A fused attention is one operation in all three roles. Of a softmax written out the last one is named, which divides
    exponentials by their sum; `entering` is then what enters the first.
    """

    first: Op
    softmax: Op
    second: Op
    query: Operand
    key: Operand
    value: Operand
    entering: Operand | None = None

    @property
    def fused(self) -> bool:
        """Whether scores and pattern stay hidden inside one function."""
        return self.first is self.second

    @property
    def z(self) -> Operand:
        """What the heads give, before they are merged."""
        return Operand(self.second, "out", 0)

    @property
    def scores(self) -> Operand:
        """What enters the softmax."""
        return self.entering or Operand(self.softmax, "in", 0)

    @property
    def pattern(self) -> Operand:
        """What leaves the softmax."""
        return Operand(self.softmax, "out", 0)


def find_attention(trace: Trace) -> list[Attention]:
    """Return every attention of a trace, in order."""
    found = []
    for op in trace.ops:
        if op.function in ATTENTION:
            query, key, value = (Operand(op, "in", index) for index in range(3))
            found.append(Attention(op, op, op, query, key, value))
        elif op.function == "softmax" and op.inputs:
            found.extend(_written_out(trace, op))
        elif (entering := _entering(trace, op)) is not None:
            found.extend(replace(one, entering=entering) for one in _written_out(trace, op))
    return found


def _entering(trace: Trace, op: Op) -> Operand | None:
    """Return what enters a softmax that is written out and ends with this operation."""
    if op.function == "div":
        return _exponentiated(trace, op)
    return _by_logarithm(trace, op) if op.function == "exp" else None


def _by_logarithm(trace: Trace, exponential: Op) -> Operand | None:
    """Return what enters a softmax that is written as the exponential of a log-softmax."""
    logarithm = trace.maker(behind_views(trace, exponential.inputs[0]))
    if logarithm is not None and logarithm.function == "log_softmax":
        return Operand(logarithm, "in", 0)
    if logarithm is None or logarithm.function != "sub" or len(logarithm.inputs) != 2:
        return None
    norm = trace.maker(behind_views(trace, logarithm.inputs[1], SAME | VIEWS))
    if norm is None or norm.function != "logsumexp" or logarithm.inputs[0] not in norm.inputs:
        return None
    return _at_maker(trace, logarithm)


def _at_maker(trace: Trace, reader: Op) -> Operand:
    """Return the first operand of an operation where it is made, so that all that read it see a write."""
    maker = trace.maker(reader.inputs[0])
    if maker is None or maker.call < 0:
        return Operand(reader, "in", 0)
    return Operand(maker, "out", maker.outputs.index(reader.inputs[0]))


def _exponentiated(trace: Trace, division: Op) -> Operand | None:
    """Return what enters a softmax that is written out: exponentials, divided by their sum.

    What is taken off the scores before, commonly their largest, changes no softmax and is part of it.
    """
    if len(division.inputs) != 2:
        return None
    top, bottom = (trace.maker(behind_views(trace, value)) for value in division.inputs)
    if top is None or bottom is None or (top.function, bottom.function) != ("exp", "sum"):
        return None
    if behind_views(trace, bottom.inputs[0]) not in top.outputs:
        return None
    shifted = trace.maker(behind_views(trace, top.inputs[0]))
    if shifted is None or shifted.function != "sub" or not _takes_off_largest(trace, shifted):
        return Operand(top, "in", 0)
    return _at_maker(trace, shifted)


def _takes_off_largest(trace: Trace, shifted: Op) -> bool:
    if len(shifted.inputs) != 2:
        return False
    largest = trace.maker(behind_views(trace, shifted.inputs[1], SAME | VIEWS))
    return largest is not None and largest.function in ("max", "amax") and shifted.inputs[0] in largest.inputs


def _written_out(trace: Trace, softmax: Op) -> Iterator[Attention]:
    """Yield the attention around a softmax, if it is one."""
    first = next(_products_before(trace, softmax), None)
    second = next(_products_after(trace, softmax), None)
    if first is None or second is None:
        return
    op, side = second
    tensors = _factors(first)
    weighted = _factors(op)
    if len(tensors) == 2 and len(weighted) == 2:
        other = weighted[1] if weighted[0].position == side else weighted[0]
        yield Attention(first, softmax, op, tensors[0], tensors[1], other)


def _factors(op: Op) -> list[Operand]:
    """Return the two tensors that a product multiplies."""
    begin = 1 if op.function in ("baddbmm", "addbmm") else 0
    return [Operand(op, "in", index) for index in range(begin, len(op.inputs))][:2]


def _is_product(trace: Trace, op: Op) -> bool:
    """Whether an operation multiplies two activations, rather than one by a weight."""
    return op.function in PRODUCTS and not any(
        trace.values[factor.value].parameter for factor in _factors(op)
    )


def _products_before(trace: Trace, softmax: Op) -> Iterator[Op]:
    """Yield the products that feed a softmax through cheap functions, the nearest first."""
    todo, seen = [(softmax.inputs[0], 0)], set[int]()
    while todo:
        value, depth = todo.pop(0)
        op = trace.maker(value)
        if op is None or value in seen or depth > REACH:
            continue
        seen.add(value)
        if _is_product(trace, op):
            yield op
        elif op.function in CHEAP | {"log_softmax"}:
            todo += [(source, depth + 1) for source in op.inputs]


def _products_after(trace: Trace, softmax: Op) -> Iterator[tuple[Op, int]]:
    """Yield the products that a softmax feeds through cheap functions, with the operand it arrives at.

    Weights that are divided by another tensor are no softmax any more.
    """
    todo, seen = [(value, 0) for value in softmax.outputs[:1]], set[int]()
    while todo:
        value, depth = todo.pop(0)
        if value in seen or depth > REACH:
            continue
        seen.add(value)
        for op in trace.readers.get(value, ()):
            if _is_product(trace, op):
                yield op, op.inputs.index(value)
            elif op.function in CHEAP - REDUCTIONS and not (op.function == "div" and len(op.inputs) > 1):
                todo += [(target, depth + 1) for target in op.outputs]
