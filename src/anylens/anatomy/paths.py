"""The cheapest path from one value to another through the operations of one call."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from anylens.anatomy.trace import Op, Trace
from anylens.anatomy.vocabulary import MAPS, PRODUCTS, SAME, cost

BLEND = 20.0  # what a blend of copies costs a path


@dataclass(frozen=True)
class Step:
    """One operation on a path: the value that goes in, the value that comes out."""

    op: Op
    source: int
    target: int


@dataclass(frozen=True)
class Path:
    """The steps from a value to another, and what they cost together."""

    steps: tuple[Step, ...]
    cost: float

    @property
    def values(self) -> frozenset[int]:
        """Every value on the path."""
        return frozenset(number for step in self.steps for number in (step.source, step.target))


def cheapest(trace: Trace, start: int, goal: int, ops: range, limit: float) -> Path | None:
    """Return the cheapest path from value `start` to value `goal` among `ops`, or None past `limit`."""
    best: dict[int, float] = {start: 0.0}
    came: dict[int, Step] = {}
    queue = [(0.0, start)]
    while queue:
        spent, value = heapq.heappop(queue)
        if value == goal:
            return Path(_backtrack(came, start, goal), spent)
        if spent > best[value]:
            continue
        for op in trace.readers.get(value, ()):
            if op.number not in ops or value in op.outputs:
                continue
            price = spent + (BLEND if blends_copies(trace, op, value, ops) else cost(op.function))
            for target in op.outputs:
                if price <= limit and price < best.get(target, float("inf")):
                    best[target] = price
                    came[target] = Step(op, value, target)
                    heapq.heappush(queue, (price, target))
    return None


def blends_copies(trace: Trace, op: Op, value: int, ops: range) -> bool:
    """Whether a product takes together copies of a stream, `[batch, pos, copy, d_model]`, at each position apart.

    The square that weighs them is computed by maps alone: one that is a product itself weighs positions.
    """
    if op.function != "matmul" or len(op.inputs) != 2 or op.inputs[1] != value:
        return False
    square, stream = (trace.values[one].shape for one in op.inputs)
    if len(stream) != 4 or square != (*stream[:2], stream[2], stream[2]):
        return False
    made = {one.function for one in ancestors(trace, op.inputs[0], ops, [value]).values()}
    return bool(made & MAPS) and not made & PRODUCTS


def _backtrack(came: dict[int, Step], start: int, goal: int) -> tuple[Step, ...]:
    steps: list[Step] = []
    value = goal
    while value != start:
        steps.append(came[value])
        value = came[value].source
    return tuple(reversed(steps))


def ancestors(trace: Trace, value: int, ops: range, stop: Iterable[int] = ()) -> dict[int, Op]:
    """Return the operations among `ops` that a value is computed from, not looking behind the values in `stop`."""
    halt = set(stop)
    found: dict[int, Op] = {}
    todo = [value]
    seen = set(todo)
    while todo:
        current = todo.pop()
        op = trace.maker(current)
        if op is None or current in halt or op.number not in ops:
            continue
        found[op.number] = op
        for source in op.inputs:
            if source not in seen:
                seen.add(source)
                todo.append(source)
    return found


def sources(trace: Trace, value: int, ops: range, stop: Iterable[int] = ()) -> set[int]:
    """Return the values at which the computation of `value` enters `ops`, or meets `stop`."""
    halt = set(stop)
    found: set[int] = set()
    todo, seen = [value], {value}
    while todo:
        current = todo.pop()
        op = trace.maker(current)
        if op is None or current in halt or op.number not in ops:
            found.add(current)
            continue
        fresh = [source for source in op.inputs if source not in seen]
        seen.update(fresh)
        todo.extend(fresh)
    return found


def readers_behind(trace: Trace, values: Iterable[int], through: frozenset[str]) -> Iterator[Op]:
    """Yield what reads some values, or what functions in `through` make of them; the nearest first."""
    todo = list(values)
    seen = set(todo)
    while todo:
        for op in trace.readers.get(todo.pop(0), ()):
            yield op
            if op.function in through:
                todo += [target for target in op.outputs if target not in seen]
                seen.update(op.outputs)


def behind_views(trace: Trace, value: int, through: frozenset[str] = SAME) -> int:
    """Follow a value back through functions that only pass it on."""
    while True:
        op = trace.maker(value)
        if op is None or op.function not in through or not op.inputs:
            return value
        value = op.inputs[0]
