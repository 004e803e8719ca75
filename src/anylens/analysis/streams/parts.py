"""A residual stream as it ran: its states in order, what was written between them, and how each carries to the next."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anylens.analysis.maps.parameters import expect_module
from anylens.analysis.streams.carries import Carry, Norm, find_carry, same
from anylens.anatomy.anatomy import BlockRecord, StreamRecord
from anylens.core.errors import AnatomyError, AxisError, UnknownPointError
from anylens.core.names import join
from anylens.lens import Lens
from anylens.running.capture import Cache

_STREAM = ("batch", "pos", "d_model")
_EMBEDS = ("hook_embed", "hook_pos_embed", "hook_token_type_embed")


@dataclass(frozen=True)
class Write:
    """What one part of a block adds: the name of its point, and its value `[batch, pos, d_model]`."""

    name: str
    value: Tensor


@dataclass(frozen=True)
class Stage:
    """One add on the stream: how the state before carries to it, what it adds, and the name of the state after."""

    carry: Carry
    writes: tuple[Write, ...]
    name: str


@dataclass(frozen=True)
class StreamParts:
    """A stream taken apart up to one of its states: the parts that it begins with, and the adds."""

    start: tuple[Write, ...]
    stages: tuple[Stage, ...]
    end: Tensor  # the last state


def stream_with_head(lens: Lens) -> StreamRecord:
    """Return the stream that the model's output is read from.

    Raises AnatomyError where none is, or several are, RunError for a lens of a pipeline.
    """
    expect_module(lens)
    found = [stream for stream in lens.anatomy.streams if stream.unembed]
    if len(found) == 1:
        return found[0]
    known = ", ".join(stream.prefix or "(the only one)" for stream in found or lens.anatomy.streams)
    raise AnatomyError(
        f"{len(found)} streams of this model end in a linear map to its output ({known or 'it has no stream'}). "
        "Say what is meant: Direction(..., at=...) with the prefix of a stream, its 'ln_final.hook_normalized', or a "
        "'hook_resid_post'."
    )


def stream_of(lens: Lens, name: str) -> StreamRecord:
    """Return the stream that a point lies in, by its prefix."""
    expect_module(lens)
    fitting = [one for one in lens.anatomy.streams if not one.prefix or name.startswith(f"{one.prefix}.")]
    if not fitting:
        raise UnknownPointError.among(name, lens.points)
    return max(fitting, key=lambda stream: len(stream.prefix))


def block_base(stream: StreamRecord, number: int) -> str:
    """Return what the names of a block's points begin with."""
    return join(stream.prefix, f"blocks.{number}")


def state_names(stream: StreamRecord, number: int) -> tuple[str, ...]:
    """Return the points of the states behind each add of a block, in order."""
    base = block_base(stream, number)
    return tuple(f"{base}.{name}" for name in (*stream.blocks[number].mids, "hook_resid_post"))


def write_names(stream: StreamRecord, number: int) -> list[tuple[str, ...]]:
    """Return the points of the writes of each add of a block."""
    block = stream.blocks[number]
    seen: dict[str, int] = {}
    names = []
    for kind in block.writes:
        several = block.writes.count(kind) > 1
        names.append(
            f"{block_base(stream, number)}.hook_{kind}_out" + (f"[{seen.get(kind, 0)}]" if several else "")
        )
        seen[kind] = seen.get(kind, 0) + 1
    found = []
    for count in block.sums or (len(names),):
        found.append(tuple(names[:count]))
        del names[:count]
    return found


def points_needed(lens: Lens, stream: StreamRecord) -> list[str]:
    """Return the points from which a stream is taken apart, those of them that the model has."""
    names = [join(stream.prefix, name) for name in _EMBEDS]
    for number in range(len(stream.blocks)):
        base = block_base(stream, number)
        names += [f"{base}.hook_resid_pre", *state_names(stream, number)]
        names += [name for group in write_names(stream, number) for name in group]
        names.append(f"{base}.hook_normalized_resid_post")
    canonical = lens.points.canonical
    for name in names:
        if name in canonical and canonical[name].axes not in (_STREAM, _STREAM[1:]):
            raise AxisError(
                f"{name} has axes {' '.join(canonical[name].axes)}; taking a stream apart needs {' '.join(_STREAM)}."
            )
    return [name for name in names if name in canonical]


def norms_of(lens: Lens, base: str) -> dict[str, nn.Module]:
    """Return the norms of a block by path."""
    paths = [
        point.tap.path
        for name, point in lens.points.canonical.items()
        if name.startswith(f"{base}.ln") and point.tap.rule is None
    ]
    return {path: lens.model.get_submodule(path) for path in paths}


def taken_apart(lens: Lens, stream: StreamRecord, cache: Cache, until: str = "") -> StreamParts:
    """Return the parts of a stream in a run, up to one of its states, the last if none is named."""
    first = cache[f"{block_base(stream, 0)}.hook_resid_pre"]
    stages: list[Stage] = []
    state = first
    for number, block in enumerate(stream.blocks):
        pre = f"{block_base(stream, number)}.hook_resid_pre"
        if pre == until:
            break
        for stage, after in _stages(lens, (stream, number, block), cache, state):
            stages.append(stage)
            state = after
            if stage.name == until:
                return StreamParts(_start(stream, cache, first), tuple(stages), state)
    return StreamParts(_start(stream, cache, first), tuple(stages), state)


def _stages(
    lens: Lens, which: tuple[StreamRecord, int, BlockRecord], cache: Cache, state: Tensor
) -> Iterator[tuple[Stage, Tensor]]:
    """Yield the adds of a block with the state behind each."""
    stream, number, _ = which
    base = block_base(stream, number)
    norms = [called(norm) for norm in norms_of(lens, base).values()]
    for name, names in zip(state_names(stream, number), write_names(stream, number), strict=True):
        after = cache[name]
        writes = _writes(lens, names, cache, after - state)
        before = after - sum(write.value for write in writes)
        yield (
            Stage(find_carry(state, before, norms, what=f"what came before and {name}"), writes, name),
            after,
        )
        state = after
    end = f"{base}.hook_normalized_resid_post"
    if end in cache:
        carry = find_carry(state, cache[end], norms, what=f"the last add and {end}")
        yield Stage(carry, (), end), cache[end]


def called(norm: nn.Module) -> Norm:
    """Return a module as a function of one tensor."""

    def call(x: Tensor) -> Tensor:
        found: Tensor = norm(x)
        return found

    return call


def _writes(lens: Lens, names: tuple[str, ...], cache: Cache, rest: Tensor) -> tuple[Write, ...]:
    """Return the writes of one add. One that no tensor holds is what the add adds besides the others."""
    held = {name: cache[name] for name in names if name in cache}
    lacking = [name for name in names if name not in held]
    if len(lacking) > 1:
        lens.points.find(lacking[0])  # says why the model has no such point
    found = {name: held.get(name, rest - sum(held.values())) for name in names}
    return tuple(Write(name, value) for name, value in found.items())


def _start(stream: StreamRecord, cache: Cache, first: Tensor) -> tuple[Write, ...]:
    """Return what the stream begins with: embeddings, where these add up to it, else its first state."""
    names = [join(stream.prefix, name) for name in _EMBEDS]
    held = {name: cache[name] for name in names if name in cache}
    if held and all(value.shape[-2:] == first.shape[-2:] for value in held.values()):
        found = tuple(Write(name, value.expand_as(first)) for name, value in held.items())
        if same(torch.stack([write.value for write in found]).sum(0), first):
            return found
    return (Write(f"{block_base(stream, 0)}.hook_resid_pre", first),)
