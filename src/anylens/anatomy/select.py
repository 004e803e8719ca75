"""Which chains are the model's own blocks, and what each is called."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from anylens.anatomy.attention import Attention
from anylens.anatomy.chains import Chain, container, find_chains
from anylens.anatomy.joint import joint
from anylens.anatomy.kept_size import without_shape_changes
from anylens.anatomy.paths import ancestors, cheapest
from anylens.anatomy.rounds import numberless
from anylens.anatomy.streams import Stream, guess_slots, read_stream
from anylens.anatomy.trace import Trace
from anylens.anatomy.unrolled import unrolled
from anylens.anatomy.vocabulary import ADDS, CHEAP_LIMIT, HEAVY
from anylens.core.names import join

_STAGE = "stages"  # what a list is called whose index alone tells chains apart
_PLAIN_WORDS = re.compile(r"_(model|tower|module)$")


@dataclass(frozen=True)
class NamedStream:
    """A stream with the prefix that its points' names carry; empty where the model has one stream only."""

    prefix: str
    stream: Stream


def select_streams(trace: Trace, attention: list[Attention]) -> list[NamedStream]:
    """Return the residual streams of a model, each with its prefix."""
    candidates = _candidates(trace, attention)
    chosen = _own_blocks(trace, _one_each(candidates))
    chosen += _siblings(trace, chosen, attention)
    chosen = _with_unrolled(trace, chosen, attention)
    chosen.sort(key=lambda streams: streams[0].chain.calls[0].begin)
    chains = [streams[0].chain for streams in chosen]
    names = prefixes([(_holder(chain), chain.calls[0].path) for chain in chains])
    return [
        NamedStream(join(name, "" if index == 0 else str(stream.entry[0])), stream)
        for name, streams in zip(names, chosen, strict=True)
        for index, stream in enumerate(streams)
    ]


def _told_apart(held: list[tuple[str, str]]) -> list[str]:
    """Return of each (holder, first block) the holder, or the first block where several have one holder."""
    several = Counter(path for path, _ in held)
    return [first if several[path] > 1 else path for path, first in held]


def _holder(chain: Chain) -> str:
    """Return the path that holds a chain; calls of one module are held by the module itself."""
    paths = {call.path for call in chain.calls}
    return container(chain.calls[0].path) if len(paths) > 1 or len(chain.calls) == 1 else chain.calls[0].path


def _candidates(trace: Trace, attention: list[Attention]) -> list[list[Stream]]:
    """Return the residual streams of every chain that has some, the main stream first.

    A lone block is one if it stands in a list. In a list of other parts that add to nothing it is no stream of its
    own: the list is a plain chain, in which one part happens to have a shortcut. Where nothing else is a stream, the
    blocks between transitions are, though they be the lesser part of their chain.
    """
    found = []
    pieces: list[list[Stream]] = []
    plain = set[int]()
    for chain in find_chains(trace):
        if len(chain.calls) == 1 and not chain.calls[0].path.rpartition(".")[2].isdigit():
            continue
        slots = chain.slots or guess_slots(trace, chain.calls[0])
        streams = joint([read_stream(trace, chain, slot, attention) for slot in slots])
        streams = [without_shape_changes(trace, one) for one in streams if not _broken(trace, one)]
        residual = [stream for stream in streams if stream.residual]
        residual.sort(key=lambda stream: -_sums(stream))
        if residual:
            found.append(residual)
        elif _mixed(chain):
            plain |= {call.number for call in chain.calls}
        elif streams:
            pieces += [[piece] for piece in _pieces(streams[0])]
    return [s for s in found if len(s[0].blocks) > 1 or s[0].chain.calls[0].number not in plain] or pieces


def _broken(trace: Trace, stream: Stream) -> bool:
    """Whether something else computed is added between blocks whose caller adds what they give."""
    for before, after in pairwise(stream.blocks):
        if not (before.added_outside and before.left is not None and after.entered is not None):
            continue
        between = range(before.sums[-1].op.number + 1, after.call.begin)
        path = cheapest(trace, before.left, after.entered, between, CHEAP_LIMIT)
        for step in path.steps if path else ():
            others = [value for value in step.op.inputs if value != step.source]
            made = [op for value in others for op in ancestors(trace, value, between).values()]
            if step.op.function in ADDS and any(op.function in HEAVY for op in made):
                return True
    return False


def _pieces(stream: Stream) -> Iterator[Stream]:
    """Cut a stream at its transitions."""
    held = zip(stream.chain.calls, stream.blocks, strict=False)
    for residual, pairs in groupby(held, key=lambda pair: bool(pair[1].sums)):
        if residual:
            calls, blocks = zip(*pairs, strict=True)
            yield replace(stream, chain=replace(stream.chain, calls=calls), blocks=blocks)


def _one_each(candidates: list[list[Stream]]) -> list[list[Stream]]:
    """Of chains that share calls (one by class, one by container), keep the longest."""
    kept: list[list[Stream]] = []
    for streams in sorted(candidates, key=lambda s: -len(s[0].blocks)):
        calls = {call.number for call in streams[0].chain.calls}
        if not any(calls & {call.number for call in other[0].chain.calls} for other in kept):
            kept.append(streams)
    return kept


def _sums(stream: Stream) -> int:
    """How many adds a block of the stream has."""
    return max(len(block.sums) for block in stream.blocks)


def _mixed(chain: Chain) -> bool:
    return len({call.kind for call in chain.calls}) > 1


def _whole(stream: Stream) -> bool:
    """Whether every block adds to the stream."""
    return all(block.sums for block in stream.blocks)


def _own_blocks(trace: Trace, candidates: list[list[Stream]]) -> list[list[Stream]]:
    """Of chains inside the blocks of another, keep those that are the model's blocks."""
    dropped = set[int]()
    for outer in candidates:
        for inner in candidates:
            if inner is not outer and _inside(trace, inner[0], outer[0]):
                loser = outer if _prefers_inner(outer[0], inner[0]) else inner
                dropped.add(id(loser))
    return [streams for streams in candidates if id(streams) not in dropped]


def _with_unrolled(
    trace: Trace, chosen: list[list[Stream]], attention: list[Attention]
) -> list[list[Stream]]:
    """Add the streams of blocks that no call holds, in the place of the lists of parts that make them up."""
    alike = Counter(_parts(streams[0]) for streams in chosen)
    open_ = [s for s in chosen if (_parts(s[0]) and alike[_parts(s[0])] > 1) or _could_be_stages(s[0])]
    taken = [block.ops for streams in chosen if streams not in open_ for block in streams[0].blocks]
    found = [[stream] for stream in unrolled(trace, attention, taken)]
    kept = [s for s in chosen if s not in open_ or not _made_up_of(s[0], [one[0] for one in found])]
    return kept + [one for one in found if not any(_overlap(one[0], other[0]) for other in kept)]


def _parts(stream: Stream) -> tuple[str, ...]:
    """Say what the blocks of a stream are where they could be parts of one block; nothing where they could not."""
    if _parts_of_a_block(stream):
        return tuple(write.kind for block in stream.blocks for one in block.sums for write in one.writes)
    named = len(stream.blocks) > 1 and not _listed(stream)
    return tuple(numberless(call.path) for call in stream.chain.calls) if named else ()


def _could_be_stages(stream: Stream) -> bool:
    """Whether each block adds so often that it may hold several blocks."""
    return all(len(block.sums) >= 4 for block in stream.blocks if block.sums)


def _made_up_of(stream: Stream, found: list[Stream]) -> bool:
    """Whether the adds of a stream are those of others, whose blocks add more than once each.

    Parts make up fewer blocks than they are, stages are made up of more.
    """
    adds = {one.op.number for block in stream.blocks for one in block.sums}
    own = {one.op.number for other in found for block in other.blocks for one in block.sums}
    apart = [other for other in found if _overlap(stream, other)]
    blocks = [block for other in apart for block in other.blocks]
    finer = len(blocks) > sum(bool(block.sums) for block in stream.blocks)
    return (
        adds <= own
        and all(len(block.sums) > 1 for block in blocks)
        and (finer or not _could_be_stages(stream))
    )


def _prefers_inner(outer: Stream, inner: Stream) -> bool:
    """Whether the inner chain has the blocks: the outer one is then a stage of several, or a wrapper around them.

    A chain of one class on the outer stream makes the outer a stage. Parts of different classes, or a lone part,
    are what a block is made of, unless the outer stream breaks where the inner goes on. Blocks beside the outer
    stream, in what is written to it, are blocks if they add more often than it does.
    """
    if inner.blocks[0].added_outside:  # the parts of a block, each added to its stream by the block
        return False
    if _parts_of_a_block(inner) and _whole(outer):
        return False
    if not _on_path(outer, inner):
        return _sums(inner) > _sums(outer)
    if len(inner.blocks) > 1 and not _mixed(inner.chain) and _listed(inner):
        return True
    return _whole(inner) and not _whole(outer)


def _parts_of_a_block(stream: Stream) -> bool:
    """Whether the blocks of a stream write once each, all of them something else: attention, then an MLP."""
    writes = [tuple(write.kind for one in block.sums for write in one.writes) for block in stream.blocks]
    return all(len(kinds) == 1 for kinds in writes) and len(set(writes)) == len(writes) > 1


def _listed(stream: Stream) -> bool:
    """Whether blocks are numbered, or calls of one module; parts with names of their own make up a block."""
    paths = {call.path for call in stream.chain.calls}
    return len(paths) == 1 or all(path[-1:].isdigit() for path in paths)


def _on_path(outer: Stream, inner: Stream) -> bool:
    """Whether the outer stream runs through the inner blocks."""
    way = {value for block in outer.blocks if block.path for value in block.path.values}
    left = {block.left for block in inner.blocks}
    return bool(left & way)


def _inside(trace: Trace, inner: Stream, outer: Stream) -> bool:
    """Whether the calls of one chain run inside the calls of another."""
    return all(
        any(one.number != other.number and trace.within(one, other) for other in outer.chain.calls)
        for one in inner.chain.calls
    )


def _overlap(one: Stream, other: Stream) -> bool:
    """Whether a block of one stream runs inside a block of the other."""
    return any(a.begin < b.end and b.begin < a.end for a in one.chain.calls for b in other.chain.calls)


def _siblings(trace: Trace, chosen: list[list[Stream]], attention: list[Attention]) -> list[list[Stream]]:
    """Return lone blocks of a class that is among the chosen: a stage of one block that downsamples."""
    slots = {s.chain.calls[0].kind: (s.entry, s.leave) for streams in chosen for s in streams[:1]}
    taken = [stream for streams in chosen for stream in streams]
    found = []
    for chain in find_chains(trace):
        slot = slots.get(chain.calls[0].kind)
        if slot is None or _mixed(chain) or not chain.calls[0].path.rpartition(".")[2].isdigit():
            continue
        stream = without_shape_changes(trace, read_stream(trace, chain, slot, attention))
        if not any(_overlap(stream, other) for other in taken):
            found.append([stream])
    return found


def prefixes(held: list[tuple[str, str]]) -> list[str]:
    """Name chains by (holder, first block). Of blocks that run several times, each time is a call of its own."""
    places = list(dict.fromkeys(held))
    names = dict(zip(places, _by_paths(_told_apart(places)), strict=True))
    times = Counter(held)
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for place in held:
        found.append(join(names[place], f"calls.{seen[place]}") if times[place] > 1 else names[place])
        seen[place] += 1
    return found


def _by_paths(holders: list[str]) -> list[str]:
    """Name chains by what tells their paths apart: `encoder` and `decoder`, `stages.0`, `stages.1`.

    One chain needs no prefix. An index keeps the name before it, but for a lone index, which is a stage.
    """
    if len(holders) < 2:
        return [""] * len(holders)
    split = [holder.split(".") for holder in holders]
    names = []
    for path in split:
        parts: list[str] = []
        for depth, part in enumerate(path):
            rivals = {tuple(other[depth : depth + 1]) for other in split if other[:depth] == path[:depth]}
            if len(rivals) < 2:
                continue
            if part.isdigit() and (not parts or parts[-1] != path[depth - 1]):
                parts.append(path[depth - 1] if parts else _STAGE)
            parts.append(_PLAIN_WORDS.sub("", part))
        names.append(parts)
    return _distinct([".".join(parts) for parts in names], holders)


def _distinct(names: list[str], holders: list[str]) -> list[str]:
    """Fall back to whole paths where short names collide, and number what still does."""
    counts = Counter(names)
    full = [name if counts[name] == 1 else holder for name, holder in zip(names, holders, strict=True)]
    seen: Counter[str] = Counter()
    result = []
    for name in full:
        result.append(name if not seen[name] else join(name, str(seen[name])))
        seen[name] += 1
    return result
