"""Where a stream begins and ends: what embeds the input before the first block, what reads the last."""

from dataclasses import dataclass

from anylens.anatomy.norms import norms_reading
from anylens.anatomy.paths import Path, ancestors, behind_views, cheapest, readers_behind, sources
from anylens.anatomy.streams import Stream
from anylens.anatomy.trace import Call, Op, Trace
from anylens.anatomy.vocabulary import ADDS, CHEAP_LIMIT, MAPS, SAME, VIEWS

_EMBEDS = MAPS | {"embedding", "embedding_bag"}


@dataclass(frozen=True)
class Beginning:
    """The values before the first block, by meaning; None where the model has none."""

    embed: int | None = None
    positions: int | None = None
    segments: int | None = None


@dataclass(frozen=True)
class Ending:
    """The norm after the last block, and the linear map that reads it."""

    norm: Call | None = None
    unembed: str = ""


def read_beginning(trace: Trace, stream: Stream, others: list[Stream]) -> Beginning:
    """Walk back from the first block to what embeds the input.

    A stream that goes on from another (a stage behind a stage) has no beginning of its own.
    """
    first = stream.blocks[0].call
    start = stream.blocks[0].entered
    if start is None:
        return Beginning()
    found = _embedding(trace, start, range(first.begin))
    if found is None or _goes_through(trace, found, others):
        return Beginning()
    op, path = found
    added: list[tuple[int, int]] = []
    summed = None  # the sum of several look-ups in the same input, such as a token's codebooks
    for step in path.steps:
        operands = [value for value in step.op.inputs if value != step.source]
        if step.op.function not in ADDS or len(operands) != 1:
            continue
        if not added and _looks_up_the_same(trace, operands[0], op):
            summed = step.target
        elif _beside(trace, operands[0], op):
            added.append((step.source, operands[0]))
    if not added:
        return Beginning(summed or _behind_name(trace, op, path, len(trace.values[start].shape)))
    ranked = sorted((value for _, value in added), key=lambda value: -_rows(trace, value))
    return Beginning(added[0][0], ranked[0], ranked[1] if len(ranked) > 1 else None)


def _goes_through(trace: Trace, found: tuple[Op, Path], streams: list[Stream]) -> bool:
    """Whether a block of these streams stands before an embedding, or on the path from it."""
    op, path = found
    before = ancestors(trace, op.outputs[0], range(len(trace.ops)))
    numbers = [*before, *(step.op.number for step in path.steps)]
    blocks = [block.ops for stream in streams for block in stream.blocks]
    return any(number in ops for number in numbers for ops in blocks)


def _goes_on(trace: Trace, value: int, streams: list[Stream]) -> bool:
    """Whether another stream begins with what was computed from a value."""
    starts = [stream.blocks[0].entered for stream in streams]
    everything = range(len(trace.ops))
    return any(start is not None and value in sources(trace, start, everything, [value]) for start in starts)


def _behind_name(trace: Trace, op: Op, path: Path, rank: int) -> int:
    """Return the first value on the way that a module gives out in the stream's rank, or the first of that rank."""
    way = [op.outputs[0], *(step.target for step in path.steps)]
    ranked = [value for value in way if len(trace.values[value].shape) == rank] or way
    return next((value for value in ranked if trace.given_out.get(value)), ranked[0])


def _embedding(trace: Trace, start: int, before: range) -> tuple[Op, Path] | None:
    """Return the operation that embeds the main input, and the cheap path from it to the first block.

    Where nothing takes an input as it is, a look-up of what was computed from one embeds it: a quantiser's codes.
    """
    main = _main_inputs(trace)
    for takes in (_fed_by, _looks_up):
        for wanted in main:
            for op in trace.ops[: before.stop]:
                weighted = op.function in _EMBEDS and any(
                    trace.values[value].parameter for value in op.inputs
                )
                if not weighted or not takes(trace, op, wanted, before):
                    continue
                path = cheapest(trace, op.outputs[0], start, before, CHEAP_LIMIT)
                if path is not None:
                    return op, path
    return None


def _main_inputs(trace: Trace) -> list[int]:
    """Return the inputs of the model, in the order in which they were given."""
    return list(trace.calls[0].inputs.values()) if trace.calls else []


def _fed_by(trace: Trace, op: Op, wanted: int, before: range) -> bool:
    """Whether an operation takes an input: an index as it is, anything else by whatever way."""
    if op.function.startswith("embedding"):
        return any(behind_views(trace, value, SAME | VIEWS) == wanted for value in op.inputs[:1])
    return any(wanted in sources(trace, value, before) for value in op.inputs)


def _looks_up(trace: Trace, op: Op, wanted: int, before: range) -> bool:
    """Whether an operation looks up what was computed from an input."""
    index = op.inputs[:1] if op.function.startswith("embedding") else ()
    return any(wanted in sources(trace, value, before) for value in index)


def _looks_up_the_same(trace: Trace, value: int, embedding: Op) -> bool:
    """Whether a value is looked up in the very input, or another part of it, that the embedding takes."""
    op = trace.maker(behind_views(trace, value, SAME | VIEWS))
    if op is None or not (op.function.startswith("embedding") and embedding.function.startswith("embedding")):
        return False
    own, other = (behind_views(trace, one.inputs[0], SAME | VIEWS) for one in (embedding, op))
    return own == other


def _beside(trace: Trace, value: int, embedding: Op) -> bool:
    """Whether what is added to the embedded input is a look-up or a constant, not computed from the same input."""
    op = trace.maker(behind_views(trace, value, SAME | VIEWS))
    if op is None or op.function.startswith("embedding"):
        return True
    return not set(embedding.inputs[:1]) & sources(trace, value, range(op.number + 1))


def _rows(trace: Trace, value: int) -> int:
    """How many rows the table has from which a value was looked up: positions have more than segments."""
    op = trace.maker(behind_views(trace, value, SAME | VIEWS))
    sizes = [trace.values[v].shape[0] for v in (op.inputs if op else (value,)) if trace.values[v].parameter]
    return max(sizes, default=10**9)


def read_ending(trace: Trace, stream: Stream, others: list[Stream]) -> Ending:
    """Walk on from the last block to the norm that reads it and the map to the output."""
    last = stream.blocks[-1].call
    value = stream.blocks[-1].left
    if value is None or not trace.calls or _goes_on(trace, value, others):
        return Ending()
    norms = [norm for norm in _norms_behind(trace, value) if norm.begin >= last.end]
    norm = norms[0] if norms else None
    after = next(iter(norm.outputs.values())) if norm is not None else value
    return Ending(norm, _unembedding(trace, after))


def _norms_behind(trace: Trace, value: int) -> list[Call]:
    """Return the norms that read a value, through at most a few views."""
    found = norms_reading(trace, value, trace.calls[0])
    for op in trace.readers.get(value, ()) if not found else ():
        if op.function in VIEWS:
            found += norms_reading(trace, op.outputs[0], trace.calls[0])
    return found


def _unembedding(trace: Trace, value: int) -> str:
    """Return the path of the module whose linear map takes a value to the model's output."""
    after = range(len(trace.ops))
    for op in readers_behind(trace, [value], VIEWS | SAME):
        if op.function == "linear" and _reaches_output(trace, op.outputs[0], after):
            return trace.calls[op.call].path
    return ""


def _reaches_output(trace: Trace, value: int, ops: range) -> bool:
    """Whether a value becomes an output of the model without another linear map."""
    outputs = trace.calls[0].outputs.values()
    return any(cheapest(trace, value, goal, ops, CHEAP_LIMIT) is not None for goal in outputs)
