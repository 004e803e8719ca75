"""Blocks that are no modules: what a forward does to one stream again and again, in a loop of its own.

Plain code often keeps the parts of its blocks in lists and adds what they give by hand,
`for attn, mlp in self.layers: x = x + attn(x); x = x + mlp(x)`. No call holds such a block. Its adds follow each other
on one stream, and the parts that write to them come again: each round is a block, from the stream before its first add
to the stream before the next round's.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby, pairwise

from anylens.anatomy.attention import Attention
from anylens.anatomy.chains import Chain
from anylens.anatomy.kept_size import without_shape_changes
from anylens.anatomy.paths import Path, ancestors, cheapest, sources
from anylens.anatomy.streams import Stream, read_stream
from anylens.anatomy.trace import Call, Op, Trace
from anylens.anatomy.vocabulary import ADDS, CHEAP_LIMIT, HEAVY
from anylens.core.tree import Key

SLOT: Key = ("stream",)
LEVELS = (0, 1, 2)  # which number in a path may tell rounds apart: that of the outermost list first
_NUMBER = re.compile(r"\d+")


class Adds:
    """The adds of a computed value to what it is computed from, outside of some ranges of operations."""

    def __init__(self, trace: Trace, taken: list[range]) -> None:
        self.trace = trace
        self.everything = range(len(trace.ops))
        self.found = [
            one
            for op in trace.ops
            if op.function in ADDS | {"lerp"} and op.call >= 0 and not any(op.number in ops for ops in taken)
            for one in self._residual(op)
        ]

    def _residual(self, op: Op) -> Iterator["Add"]:
        pair = op.inputs[:2]
        if len(op.inputs) != (3 if op.function == "lerp" else 2) or op.note:
            return
        shape = self.trace.values[op.outputs[0]].shape
        for stream, write in (pair, reversed(pair)) if op.function in ADDS else (pair,):
            for before in (stream, *self._unscaled(stream)):
                made = ancestors(self.trace, write, self.everything, [before])
                heavy = [one for one in made.values() if one.function in HEAVY]
                if not heavy or self.trace.values[before].shape != shape:
                    continue
                if before in sources(self.trace, write, self.everything, [before]):
                    yield Add(self.trace, op, before, heavy)
                    return

    def _unscaled(self, value: int) -> tuple[int, ...]:
        """Return what a value is a multiple of."""
        maker = self.trace.maker(value)
        return maker.inputs[:1] if maker is not None and maker.function in ("mul", "div") else ()


class Add:
    """One add of what is computed from a stream to that stream."""

    def __init__(self, trace: Trace, op: Op, before: int, made: list[Op]) -> None:
        self.op, self.before, self.after = op, before, op.outputs[0]
        own = [one.call for one in made if one.number > _made_at(trace, before) and one.call >= 0]
        self.paths = [trace.calls[number].path for number in dict.fromkeys(own)]  # where it is computed

        self.kind = frozenset(_NUMBER.sub("#", path) for path in self.paths)

    def numbers(self, level: int) -> tuple[str, ...] | None:
        """Return the numbers that stand in all of its paths down to a level, the outermost list's first."""
        found = {tuple(_NUMBER.findall(path)[: level + 1]) for path in self.paths}
        one = found.pop() if len(found) == 1 else ()
        return one if len(one) > level else None


def _made_at(trace: Trace, value: int) -> int:
    """Return the number of the operation that made a value; -1 for what none made."""
    maker = trace.values[value].maker
    return -1 if maker is None else maker


def unrolled(trace: Trace, attention: list[Attention], taken: list[range]) -> list[Stream]:
    """Return the streams of blocks that are no modules, outside of the operations of the blocks that are."""
    streams = []
    for run in _runs(trace, Adds(trace, taken).found):
        for rounds in (held for cut in _rounds(run) for held in _held_together(trace, cut)):
            calls = _calls(trace, rounds)
            stream = read_stream(trace, Chain(calls, ((SLOT, SLOT),)), (SLOT, SLOT), attention)
            blocks = tuple(
                replace(one, ends=_ends(one.call), parts=_parts(trace, one.call)) for one in stream.blocks
            )
            streams.append(without_shape_changes(trace, replace(stream, blocks=blocks)))
    return [one for one in streams if one.residual and not _across(one, taken) and not _cut(trace, one)]


def _across(stream: Stream, taken: list[range]) -> bool:
    """Whether other blocks run inside these."""
    return any(block.ops.start <= ops.start < block.ops.stop for block in stream.blocks for ops in taken)


def _cut(trace: Trace, stream: Stream) -> bool:
    """Whether a block begins or ends in the middle of a call: what holds all blocks alone may go on over their ends."""
    begin, end = stream.blocks[0].ops.start, stream.blocks[-1].ops.stop
    ends = {number for block in stream.blocks for number in (block.ops.start, block.ops.stop)}
    parts = [call for call in trace.calls if not (call.begin <= begin and end <= call.end)]
    return any(call.begin < number < call.end for call in parts for number in ends)


def _ends(call: Call) -> tuple[int, int]:
    return call.inputs[SLOT], call.outputs[SLOT]


def _parts(trace: Trace, block: Call) -> tuple[tuple[str, int], ...]:
    """Return path and turn of the outermost calls in a block."""
    inside = {call.number: call for call in trace.calls if trace.within(call, block)}
    return tuple((call.path, call.turn) for call in inside.values() if call.parent not in inside)


def _runs(trace: Trace, adds: list[Add]) -> Iterator[list[Add]]:
    """Yield adds that follow each other on one stream, the longest runs first."""
    left = list(adds)
    while left:
        run = [left.pop(0)]
        for add in list(left):
            if _leads(trace, run[-1], add) is not None:
                run.append(add)
                left.remove(add)
        if len(run) > 1:
            yield run


def _leads(trace: Trace, before: Add, after: Add) -> Path | None:
    """Return the cheap way from behind one add to the stream of another."""
    between = range(before.op.number + 1, after.op.number)
    if before.after == after.before:
        return Path((), 0.0)
    return cheapest(trace, before.after, after.before, between, CHEAP_LIMIT)


def _rounds(run: list[Add]) -> Iterator[list[list[Add]]]:
    """Cut a run of adds into rounds: by the numbers that lists give their parts, else by the kinds that come again.

    A run in which nothing comes again is one round, if its parts stand in lists.
    """
    numbered = _by_number(run)
    if numbered:
        yield numbered
        return
    repeated = list(_stretches([add.kind for add in run]))
    yield from ([run[n : n + period] for n in range(start, end, period)] for start, end, period in repeated)
    held = [_common(add.paths) for add in run]
    if not repeated and (_common(held)[-1:].isdigit() or all(path[-1:].isdigit() for path in held)):
        yield [run]


def _by_number(run: list[Add]) -> list[list[Add]]:
    """Put adds together whose parts have the same numbers, at the innermost list whose neighbours are alike.

    Outer lists are those of stages, inner ones those of a block's parts. Where no neighbours are, the outermost list.
    """
    found = [_at_level(run, level) for level in LEVELS]
    alike = [
        rounds for rounds in found if any(_kinds(one) == _kinds(other) for one, other in pairwise(rounds))
    ]
    return alike[-1] if alike else found[0] if len(found[0]) > 1 else []


def _at_level(run: list[Add], level: int) -> list[list[Add]]:
    """Put adds together whose parts have the same numbers down to a level; nothing if some have none, or come back."""
    numbers = [add.numbers(level) for add in run]
    met = [number for number, _ in groupby(numbers)]
    if None in met or len(set(met)) < len(met):
        return []
    return [[run[n] for n, one in enumerate(numbers) if one == number] for number in met]


def _kinds(adds: list[Add]) -> list[frozenset[str]]:
    return [add.kind for add in adds]


def _held_together(trace: Trace, rounds: list[list[Add]]) -> Iterator[list[list[Add]]]:
    """Part rounds that the forward of one call makes from those of another."""
    for _, together in groupby(rounds, lambda adds: _holders(trace, adds)):
        yield list(together)


def _holders(trace: Trace, adds: list[Add]) -> list[int]:
    """Return the calls in which all of some adds are made, the outermost first."""
    return [call.number for call in trace.calls if all(trace.inside(add.op, call) for add in adds)]


def _stretches(kinds: list[frozenset[str]]) -> Iterator[tuple[int, int, int]]:
    """Yield begin, end and period of the stretches of a list that repeat their first few."""
    start = 0
    while start < len(kinds) - 1:
        period, count = _repeats(kinds[start:])
        if count > 1:
            yield start, start + period * count, period
        start += period * count


def _repeats(kinds: list[frozenset[str]]) -> tuple[int, int]:
    """Return the shortest period with which a list begins, and how often it comes; a period once, if none repeats."""
    for period in range(1, len(kinds) // 2 + 1):
        count = 1
        while kinds[count * period : (count + 1) * period] == kinds[:period]:
            count += 1
        if count > 1:
            return period, count
    return 1, 1


def _calls(trace: Trace, rounds: list[list[Add]]) -> tuple[Call, ...]:
    """Return a call that stands for each round; its number is negative, for nothing called it."""
    entries = [adds[0].before for adds in rounds]
    leaves = [*entries[1:], _last(trace, rounds)]
    holder = trace.calls[_holders(trace, [add for adds in rounds for add in adds])[-1]]
    calls = []
    for number, (entered, left) in enumerate(zip(entries, leaves, strict=True)):
        begin, end = max(_behind(trace, entered), holder.begin), _behind(trace, left)
        ends = {SLOT: entered}, {SLOT: left}
        calls.append(Call(-2 - number, "", holder.kind, holder.number, holder.turn, begin, end, *ends))
    return tuple(replace(call, path=path) for call, path in zip(calls, _paths(trace, calls), strict=True))


def _behind(trace: Trace, value: int) -> int:
    """Return the first operation behind what makes a value, and behind the calls that hand it on as it is."""
    readers = [op.number for op in trace.readers.get(value, ()) if value not in op.outputs]
    first = min(readers, default=len(trace.ops))
    handed = [call.end for call, _ in trace.given_out.get(value, ()) if call.end <= first]
    return max([_made_at(trace, value) + 1, *handed])


def _last(trace: Trace, rounds: list[list[Add]]) -> int:
    """Return the value with which the last round ends: behind what follows the adds of the others, such as a norm."""
    tail = _leads(trace, rounds[-2][-1], rounds[-1][0]) if len(rounds) > 1 else None
    value = rounds[-1][-1].after
    for step in tail.steps if tail else ():
        following = [op for op in trace.readers.get(value, ()) if _alike(trace, op, step.op)]
        if len(following) != 1 or following[0].outputs[0] == value:
            break
        value = following[0].outputs[0]
    return value


def _alike(trace: Trace, one: Op, other: Op) -> bool:
    """Whether two operations are one function, in modules whose paths differ in numbers alone."""
    scopes = [trace.calls[op.call].path if op.call >= 0 else "" for op in (one, other)]
    return one.function == other.function and len({_NUMBER.sub("#", path) for path in scopes}) == 1


def _paths(trace: Trace, calls: list[Call]) -> list[str]:
    """Name each block by the numbered list that holds its parts, or all of them by what holds all parts."""
    held = [_common([path for path, _ in _parts(trace, call)]) for call in calls]
    numbered = all(path.rpartition(".")[2].isdigit() for path in held)
    if numbered and len(set(held)) == len(held):
        return held
    return [_common([*held, *(trace.calls[call.parent].path for call in calls)])] * len(calls)


def _common(paths: list[str]) -> str:
    """Return the longest path that holds all of these."""
    split = [path.split(".") for path in paths]
    same = 0
    for words in zip(*split, strict=False):
        if len(set(words)) > 1:
            break
        same += 1
    return ".".join(split[0][:same])
