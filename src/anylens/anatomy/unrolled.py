"""Blocks that are no modules: what a forward does to one stream again and again, in a loop of its own.

Plain code often keeps the parts of its blocks in lists and adds what they give by hand,
`for attn, mlp in self.layers: x = x + attn(x); x = x + mlp(x)`. No call holds such a block. Its adds follow each other
on one stream, and the parts that write to them come again: each round is a block, from the stream before its first add
to the stream before the next round's.
"""

from dataclasses import replace

from anylens.anatomy.attention import Attention
from anylens.anatomy.chains import Chain
from anylens.anatomy.kept_size import without_shape_changes
from anylens.anatomy.rounds import Round, common, find_rounds, holders, leads, made_behind, numberless
from anylens.anatomy.streams import Stream, read_stream
from anylens.anatomy.trace import Call, Op, Trace
from anylens.core.tree import Key

SLOT: Key = ("stream",)


def unrolled(trace: Trace, attention: list[Attention], taken: list[range]) -> list[Stream]:
    """Return the streams of blocks that are no modules, outside of the operations of the blocks that are."""
    streams = []
    for rounds in find_rounds(trace, taken):
        chain = Chain(_calls(trace, rounds), ((SLOT, SLOT),))
        stream = read_stream(trace, chain, (SLOT, SLOT), attention)
        blocks = [replace(one, ends=_ends(one.call), parts=_parts(trace, one.call)) for one in stream.blocks]
        streams.append(without_shape_changes(trace, replace(stream, blocks=tuple(blocks))))
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


def _calls(trace: Trace, rounds: list[Round]) -> tuple[Call, ...]:
    """Return a call that stands for each round; its number is negative, for nothing called it."""
    entries = [adds[0].before for adds in rounds]
    leaves = [*entries[1:], _last(trace, rounds)]
    holder = trace.calls[holders(trace, [add for adds in rounds for add in adds])[-1]]
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
    return max([made_behind(trace, value), *handed])


def _last(trace: Trace, rounds: list[Round]) -> int:
    """Return the value with which the last round ends: behind what follows the adds of the others, such as a norm."""
    tail = leads(trace, rounds[-2][-1], rounds[-1][0]) if len(rounds) > 1 else None
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
    return one.function == other.function and len({numberless(path) for path in scopes}) == 1


def _paths(trace: Trace, calls: list[Call]) -> list[str]:
    """Name each block by the numbered list that holds its parts, or all of them by what holds all parts."""
    held = [common([path for path, _ in _parts(trace, call)]) for call in calls]
    numbered = all(path.rpartition(".")[2].isdigit() for path in held)
    if numbered and len(set(held)) == len(held):
        return held
    return [common([*held, *(trace.calls[call.parent].path for call in calls)])] * len(calls)
