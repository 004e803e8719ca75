"""Residual streams: in each block, the cheapest path from what enters to what leaves, and what is added to it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from anylens.anatomy.adds import Added, added_at
from anylens.anatomy.attention import Attention
from anylens.anatomy.chains import Chain
from anylens.anatomy.mixing import convolves, mixes
from anylens.anatomy.norms import norms_on
from anylens.anatomy.paths import Path, Step, ancestors, behind_views, cheapest, sources
from anylens.anatomy.trace import Call, Op, Trace
from anylens.anatomy.vocabulary import (
    ACTIVATIONS,
    ADDS,
    CHEAP_LIMIT,
    HEAVY,
    MAPS,
    PRODUCTS,
    SAME,
    VIEWS,
)
from anylens.core.tree import Key

WriteKind = Literal["attn", "cross_attn", "mlp", "conv", "mixer"]


@dataclass(frozen=True)
class Write:
    """What one part of a block adds to the stream."""

    kind: WriteKind
    value: int
    attention: tuple[Attention, ...] = ()


@dataclass(frozen=True)
class Sum:
    """One add on the stream: the stream before, what is written, the stream after."""

    op: Op
    before: int
    after: int
    writes: tuple[Write, ...]
    scaled: str = ""  # why no tensor holds exactly what is written


@dataclass(frozen=True)
class Block:
    """One call of a chain, as one stream sees it."""

    call: Call
    entry: Key
    leave: Key
    path: Path | None
    sums: tuple[Sum, ...]
    post_norms: tuple[Call, ...]  # the norms that stand on the stream itself
    ends: tuple[int, int] | None = None  # what it begins and ends with, where no argument is that
    parts: tuple[tuple[str, int], ...] | None = None  # its calls by path and turn, where it is no module

    @property
    def entered(self) -> int | None:
        """The value with which the stream begins in this block."""
        return self.ends[0] if self.ends else self.call.inputs.get(self.entry)

    @property
    def left(self) -> int | None:
        """The value with which the stream ends in this block."""
        return self.ends[1] if self.ends else self.call.outputs.get(self.leave)

    @property
    def added_outside(self) -> bool:
        """Whether whoever calls the block adds to the stream what the block gives out."""
        return bool(self.sums) and self.parts is None and self.sums[-1].op.call == self.call.parent

    @property
    def ops(self) -> range:
        """The operations of this block."""
        return range(self.call.begin, self.call.end)

    @property
    def kind(self) -> str:
        """What the block does to the stream: `residual`, `post-norm`, `parallel`, or `transition`."""
        if not self.sums:
            return "transition"
        if self.post_norms:
            return "post-norm"
        parallel = len(self.sums) == 1 and len(self.sums[0].writes) > 1
        return "parallel" if parallel else "residual"


@dataclass(frozen=True)
class Stream:
    """A chain seen along one of the tensors that its blocks hand on."""

    chain: Chain
    entry: Key
    leave: Key
    blocks: tuple[Block, ...]

    @property
    def residual(self) -> bool:
        """Whether at least half of the blocks add to it, or the caller adds what each of them gives out."""
        outside = [block.added_outside for block in self.blocks]
        return any(outside) == all(outside) and 2 * sum(bool(block.sums) for block in self.blocks) >= len(
            self.blocks
        )


def read_stream(trace: Trace, chain: Chain, slot: tuple[Key, Key], attention: list[Attention]) -> Stream:
    """Follow one tensor through the blocks of a chain, as far as they hand it on."""
    entry, leave = slot
    blocks = [_read_block(trace, call, entry, leave, attention) for call in chain.calls]
    while (
        len(blocks) > 1 and blocks[-1].left is None
    ):  # the last ones read it, and do not give it out any more
        blocks.pop()
    return Stream(chain, entry, leave, tuple(blocks))


def guess_slots(trace: Trace, call: Call) -> tuple[tuple[Key, Key], ...]:
    """Return the slots of a block that stands alone: an input and an output with a cheap path and an add on it."""
    found = []
    for leave, goal in call.outputs.items():
        for entry, start in call.inputs.items():
            path = cheapest(trace, start, goal, range(call.begin, call.end), CHEAP_LIMIT)
            if path is not None and any(added_at(trace, path, n) for n in range(len(path.steps))):
                found.append((entry, leave))
                break
    return tuple(found)


def _read_block(trace: Trace, call: Call, entry: Key, leave: Key, attention: list[Attention]) -> Block:
    start, goal = call.inputs.get(entry), call.outputs.get(leave)
    path = None
    if start is not None and goal is not None and start != goal:
        path = cheapest(trace, start, goal, range(call.begin, call.end), CHEAP_LIMIT)
    inside = [one for one in attention if trace.inside(one.second, call)]
    if path is None:
        return _added_behind(trace, call, (entry, leave), inside) or Block(call, entry, leave, None, (), ())
    if any(_rescales(trace, call, step, path.values) for step in path.steps):
        return Block(call, entry, leave, None, (), ())
    sums = tuple(_read_sums(trace, call, path, inside))
    norms = norms_on(trace, call, path) if sums else ()
    return Block(call, entry, leave, path, sums, norms)


def _added_behind(
    trace: Trace, call: Call, slot: tuple[Key, Key], attention: list[Attention]
) -> Block | None:
    """Read a block that gives out what it writes alone: whoever calls it adds that to what it took."""
    entered, left = call.inputs.get(slot[0]), call.outputs.get(slot[1])
    if entered is None or left is None:
        return None
    for op in trace.readers.get(left, ()):
        taken = [behind_views(trace, value) for value in op.inputs]
        if (
            op.function not in ADDS
            or op.note
            or op.call != call.parent
            or sorted(taken) != sorted([entered, left])
        ):
            continue
        writes = tuple(_take_apart(trace, call, left, {entered}, attention))
        path = Path((Step(op, entered, op.outputs[0]),), 0.0)
        one = Sum(op, entered, op.outputs[0], writes)
        return Block(call, *slot, path, (one,), (), (entered, op.outputs[0]))
    return None


def _rescales(trace: Trace, call: Call, step: Step, stream: Iterable[int]) -> bool:
    """Whether a step multiplies by what a map computed: no sum holds on what a coupling or a gate rescales.

    What is computed from the stream by no map is the stream's own size: a norm divides by that.
    """
    if step.op.function not in ("mul", "div"):
        return False
    ops = range(call.begin, call.end)
    others = [value for value in step.op.inputs if value != step.source]
    return any(
        op.function in HEAVY for value in others for op in ancestors(trace, value, ops, stream).values()
    )


def _read_sums(trace: Trace, call: Call, path: Path, attention: list[Attention]) -> Iterator[Sum]:
    """Yield the adds on a path that write to the stream."""
    stream = set(path.values)
    for number, step in enumerate(path.steps):
        added = added_at(trace, path, number)
        if added is None or not _is_write(trace, call, added, stream):
            continue
        values = [max(added.values, key=lambda value: len(_made_of(trace, call, value, stream)))]
        values = values if added.scaled else list(added.values)
        writes = [w for value in values for w in _take_apart(trace, call, value, stream, attention)]
        yield Sum(step.op, added.before, step.target, tuple(writes), added.scaled)


def _is_write(trace: Trace, call: Call, added: Added, stream: set[int]) -> bool:
    """Whether something computed is added: a parameter or a constant is a bias, a mean taken off is part of a norm."""
    ops = range(call.begin, call.end)
    known = all(trace.values[value].parameter for value in added.values)
    for value in added.values if not known else ():
        stop = stream if added.scaled else ()
        if any(op.function in HEAVY for op in ancestors(trace, value, ops, stop).values()):
            return True
        if not added.scaled and sources(trace, value, ops) & set(call.inputs.values()):
            return True
    return False


def _made_of(trace: Trace, call: Call, value: int, stream: set[int]) -> dict[int, Op]:
    return ancestors(trace, value, range(call.begin, call.end), stream)


def _take_apart(
    trace: Trace, call: Call, value: int, stream: set[int], attention: list[Attention]
) -> list[Write]:
    """Return the writes of a value that is added: several where it is a sum of different kinds."""
    whole = _classify(trace, call, value, stream, attention)
    op = trace.maker(behind_views(trace, value, SAME | VIEWS))
    if op is None or op.function not in ADDS or len(op.inputs) != 2 or not trace.inside(op, call):
        return [whole]
    if any(trace.values[part].parameter for part in op.inputs):
        return [whole]
    parts = [w for part in op.inputs for w in _take_apart(trace, call, part, stream, attention)]
    apart = len({part.kind for part in parts}) == len(parts) > 1 and all(
        _computed(trace, call, part.value, stream) for part in parts
    )
    return parts if apart else [whole]


def _computed(trace: Trace, call: Call, value: int, stream: set[int]) -> bool:
    ops = ancestors(trace, value, range(call.begin, call.end), stream)
    return any(op.function in MAPS | PRODUCTS for op in ops.values())


def _classify(trace: Trace, call: Call, value: int, stream: set[int], attention: list[Attention]) -> Write:
    """Say what kind of computation a write comes from."""
    ops = ancestors(trace, value, range(call.begin, call.end), stream)
    mine = tuple(one for one in attention if one.second.number in ops)
    if mine:
        cross = all(_is_cross(trace, call, one, stream) for one in mine)
        return Write("cross_attn" if cross else "attn", value, mine)
    functions = [op.function for op in ops.values()]
    if mixes(trace, ops, stream):
        return Write("mixer", value)
    if any(convolves(trace, op, ops) for op in ops.values()):
        return Write("conv", value)
    maps = sum(name in MAPS | PRODUCTS or "grouped_mm" in name for name in functions)
    active = any(name in ACTIVATIONS for name in functions)
    return Write("mlp" if maps >= 2 and active else "mixer", value)


def _is_cross(trace: Trace, call: Call, one: Attention, stream: set[int]) -> bool:
    """Whether keys come from outside the stream while queries come from it."""
    ops = range(call.begin, call.end)
    return bool(sources(trace, one.query.value, ops, stream) & stream) and not (
        sources(trace, one.key.value, ops, stream) & stream
    )
