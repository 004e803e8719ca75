"""From a trace to an anatomy."""

from collections.abc import Iterable, Iterator

from anylens.anatomy.anatomy import Anatomy, BlockRecord, StreamRecord
from anylens.anatomy.attention import Attention, find_attention
from anylens.anatomy.attention_points import add_attention
from anylens.anatomy.block_points import add_block
from anylens.anatomy.canonical import rank
from anylens.anatomy.draft import Draft
from anylens.anatomy.ends import read_beginning, read_ending
from anylens.anatomy.function_points import add_functions, function_records
from anylens.anatomy.functions import StandIn
from anylens.anatomy.points import Point
from anylens.anatomy.records import Records
from anylens.anatomy.select import NamedStream, select_streams
from anylens.anatomy.stream_axes import stream_axes
from anylens.anatomy.streams import Stream
from anylens.anatomy.taps import module_tap, repeats, rule_for
from anylens.anatomy.trace import Trace
from anylens.anatomy.turns import order_before, turned_values
from anylens.anatomy.watch_functions import uncalled
from anylens.core.names import join, split_block


def derive(
    trace: Trace,
    key: str = "",
    versions: Iterable[tuple[str, str]] = (),
    stand_ins: Iterable[StandIn] = (),
) -> Anatomy:
    """Read the structure of a model off one forward pass."""
    draft = Draft(trace)
    attention = find_attention(trace)
    named = select_streams(trace, attention)
    streams = tuple(_add_stream(draft, one, [o.stream for o in named if o is not one]) for one in named)
    _add_loose_attention(draft, attention)
    add_functions(draft, "", None)
    starts = [one.stream.blocks[0].entered for one in named]
    records = Records(trace, [(stream.axes, start) for stream, start in zip(streams, starts, strict=True)])
    return Anatomy(
        key=key,
        streams=streams,
        canonical=tuple(in_order(draft.points.values())),
        absent=(*draft.absent.items(), *_silent(streams, uncalled(stand_ins, trace.functions))),
        modules=tuple(records.modules()),
        ops=tuple(records.ops()),
        functions=tuple(function_records(trace)),
        versions=tuple(versions),
    )


def _silent(streams: Iterable[StreamRecord], names: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the names that functions would have had in each block if they had been called, with the reason."""
    for stream in streams:
        for number in range(len(stream.blocks)):
            yield from ((join(stream.prefix, f"blocks.{number}", name), why) for name, why in names)


def in_order(points: Iterable[Point]) -> list[Point]:
    """Sort the points of each block, and of what is outside blocks, as the canonical table has them."""
    places: dict[str, int] = {}
    listed = list(points)
    for point in listed:
        places.setdefault(_place(point.name), len(places))
    return sorted(listed, key=lambda point: (places[_place(point.name)], rank(point.name)))


def _place(name: str) -> str:
    """Return the block that a name speaks of, with its prefix, or the name of the part before the last."""
    found = split_block(name)
    return f"{found[0]}blocks.{found[1]}." if found else name.rpartition("hook_")[0]


def _add_stream(draft: Draft, named: NamedStream, others: list[Stream]) -> StreamRecord:
    stream, prefix = named.stream, named.prefix
    axes = stream_axes(draft.trace, stream)
    draft.stream, draft.lead, draft.copied = stream.blocks[0].entered, None, "copy" in axes
    draft.orders = turned_values(draft.trace, stream, axes)
    _add_beginning(draft, named, others, axes)
    for number, block in enumerate(stream.blocks):
        base = join(prefix, f"blocks.{number}")
        add_block(draft, base, block, axes)
        add_functions(draft, base, block.call)
    ending = read_ending(draft.trace, stream, others)
    if ending.norm is not None:
        slot, value = next(iter(ending.norm.outputs.items()))
        tap = module_tap(draft.trace, ending.norm, "out", slot)
        draft.value(join(prefix, "ln_final.hook_normalized"), value, axes, tap)
    blocks = tuple(
        BlockRecord(
            block.call.path,
            block.call.turn,
            block.kind,
            tuple(w.kind for one in block.sums for w in one.writes),
            tuple(len(one.writes) for one in block.sums),
            block.parts,
        )
        for block in stream.blocks
    )
    norm = ending.norm.path if ending.norm is not None else ""
    entry = "" if stream.blocks[0].ends else str(stream.entry[0])
    return StreamRecord(prefix, axes, blocks, norm, ending.unembed, entry)


def _add_beginning(draft: Draft, named: NamedStream, others: list[Stream], axes: tuple[str, ...]) -> None:
    begin = read_beginning(draft.trace, named.stream, others)
    start = named.stream.blocks[0].entered
    values = {
        "hook_embed": begin.embed,
        "hook_pos_embed": begin.positions,
        "hook_token_type_embed": begin.segments,
    }
    for name, value in values.items():
        if value is None:
            continue
        rank = len(draft.trace.values[value].shape)
        if start is not None and (own := order_before(draft.trace, value, start, axes)):
            draft.orders[value] = own
        flat = rank == 3 < len(axes)  # positions in one dimension still
        fitting = (
            axes if name == "hook_embed" or flat else axes[-rank:]
        )  # what is added broadcasts from the right
        draft.value(join(named.prefix, name), value, fitting)


def _add_loose_attention(draft: Draft, attention: list[Attention]) -> None:
    """Name the attention that writes to no stream by the module in whose forward it runs."""
    taken = {(point.tap.path, point.tap.rule, point.tap.turn) for point in draft.points.values()}
    loose: dict[str, list[Attention]] = {}
    for one in attention:
        scope = draft.trace.scope(one.first)
        turn = repeats(draft.trace, scope)[0] if scope else None
        if scope is not None and (scope.path, rule_for(draft.trace, one.first), turn) not in taken:
            place = scope.path if turn is None else join(scope.path, f"calls.{turn}")
            loose.setdefault(place, []).append(one)
    first = next(iter(draft.trace.calls[0].inputs.values()), None) if draft.trace.calls else None
    shape = draft.trace.values[first].shape if first is not None else ()
    draft.stream, draft.lead, draft.copied = None, None, False
    for place, ones in loose.items():
        for number, one in enumerate(ones):
            base = place if len(ones) == 1 else f"{place}[{number}]"
            add_attention(draft, base, one, shape[0] if shape else None)
