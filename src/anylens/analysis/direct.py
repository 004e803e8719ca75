"""Direct attribution: how much each part of a model wrote, itself, towards something in its output.

The residual stream is a sum of what the layers, heads and neurons wrote. Behind the last of them stand a norm and a
linear map, and with the norm's denominator kept as it was in the run, both are linear: what each part contributes to a
logit, or to any direction, is a number, and the numbers add up to what the model says. Where norms stand on the stream
itself (post-norm blocks), parts are carried through each of these in the same way. (Elhage et al. 2021, "A Mathematical
Framework for Transformer Circuits", https://transformer-circuits.pub/2021/framework/index.html; for heads also Wang et
al. 2022, "Interpretability in the Wild", https://arxiv.org/abs/2211.00593.)
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from anylens.analysis.contributions import DirectAttribution, Direction, Part
from anylens.analysis.streams.carries import Carry
from anylens.analysis.streams.ends import Head, end_points, final_norm, head_of
from anylens.analysis.streams.parts import (
    StreamParts,
    block_base,
    points_needed,
    state_names,
    stream_of,
    stream_with_head,
    taken_apart,
)
from anylens.analysis.streams.splitting import Split, split_points, splits_of
from anylens.anatomy.anatomy import StreamRecord
from anylens.core.errors import AxisError
from anylens.core.names import join, split_block
from anylens.lens import Lens
from anylens.running.examples import as_arguments

By = Literal["write", "head", "neuron"]


@torch.no_grad()
def direct_attribution(
    lens: Lens,
    inputs: Any,
    direction: Direction | int | Tensor,
    *,
    by: By = "write",
    pos: int | slice | None = None,
) -> DirectAttribution:
    """Take the stream apart into what was written to it, and say how much of a direction each part is.

    (Elhage et al. 2021, https://transformer-circuits.pub/2021/framework/index.html.)

    Args:
        lens: the model; for a pipeline, the lens of one of its parts.
        inputs: as `run_with_cache` takes them: a tensor, a tuple, a mapping.
        direction: an output's number, one for each row, a vector, or a `Direction` of these.
        by: whether attention's writes are split by `head`, the MLP's by `neuron`, or neither.
        pos: the position whose output is explained, or a slice of them. By default the one that the head reads, such
            as the class token, and the last where it reads all.

    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> ids = lens.processor("the kings near the queen", return_tensors="pt").input_ids
    >>> sings, sing = lens.processor.convert_tokens_to_ids(["praises", "praise"])
    >>> found = direct_attribution(lens, ids, Direction(sing, sings), by="head")
    >>> bool(torch.allclose(found.values.sum(-1), found.total, atol=1e-4))
    True

    Raises:
        AnatomyError: what stands between two writes, or before the head, is not a norm or a factor.
        AxisError: the stream has no positions, or not this one; `by` or `Direction.at` is something else.
        ShapeError: the direction does not fit.
        UnknownPointError: there is no such point as `Direction.at`.
    """
    if by not in get_args(By):
        raise AxisError(f"Writes are split by {', '.join(get_args(By))}; by={by!r} was given.")
    goal = direction if isinstance(direction, Direction) else Direction(direction)
    stream, goal = _resolved(lens, goal)
    args, kwargs = as_arguments(inputs)
    names = [*points_needed(lens, stream), *split_points(lens, stream, by), *end_points(stream)]
    _, cache = lens.run_with_cache(*args, points=names, **kwargs)
    until = goal.at if split_block(goal.at) else ""
    parts = taken_apart(lens, stream, cache, until)
    splits = splits_of(lens, stream, cache, parts, by)
    ending = _Ending.of(lens, (stream, parts, goal), cache)
    return _Walk(ending, splits).attribution(parts, _positions(parts.end, ending.head, pos))


def _resolved(lens: Lens, goal: Direction) -> tuple[StreamRecord, Direction]:
    """Return the stream that a direction is meant for; where `at` is its prefix, the direction at its head."""
    for stream in lens.anatomy.streams:
        if goal.at and goal.at == stream.prefix:
            return stream, replace(goal, at="")
    if not goal.at:
        return stream_with_head(lens), goal
    stream = stream_of(lens, goal.at)
    states = [join(stream.prefix, "ln_final.hook_normalized")]
    for number in range(len(stream.blocks)):
        ends = (
            f"{block_base(stream, number)}.hook_{name}" for name in ("resid_pre", "normalized_resid_post")
        )
        states += [*ends, *state_names(stream, number)]
    if goal.at not in states:
        name = lens.points[goal.at].name  # an unknown one says what comes near
        raise AxisError(
            f"{name} is no state of the stream. Directions lie at {', '.join(states[:1] + states[-2:])}."
        )
    return stream, goal


@dataclass(frozen=True)
class _Ending:
    """From the last state to a number: carries, then a vector and a constant."""

    carries: tuple[tuple[str, Carry], ...]
    vector: Float[Tensor, "#batch 1 d_model"]
    constant: Float[Tensor, "#batch 1"]
    name: str = ""
    head: Head | None = None

    @classmethod
    def of(cls, lens: Lens, which: tuple[StreamRecord, StreamParts, Direction], cache: Any) -> "_Ending":
        stream, parts, goal = which
        state = parts.end
        final = join(stream.prefix, "ln_final.hook_normalized")
        if goal.at and goal.at != final:
            vector = goal.vector(state.shape[-1], state).unsqueeze(1)
            return cls((), vector, vector.new_zeros(1, 1))
        norm = final_norm(lens, stream, cache, state)
        if goal.at:
            vector = goal.vector(state.shape[-1], state).unsqueeze(1)
            return cls(((final, norm),), vector, vector.new_zeros(1, 1))
        scale, head = head_of(lens, stream, cache, norm.push(state))
        along = goal.vector(head.on(state[:1, :1]).shape[-1], state)
        vector, constant = head.pull(along, state)
        return cls(((final, norm), (stream.unembed, scale)), vector, constant, stream.unembed, head)

    def value(self, state: Tensor) -> Float[Tensor, "batch pos"]:
        """Return what the model has along the direction."""
        for _, carry in self.carries:
            state = carry.push(state)
        return (state * self.vector).sum(-1) + self.constant


@dataclass(frozen=True)
class _Walk:
    """Goes back from the end of a stream to its beginning, with the direction as it is before each carry."""

    ending: _Ending
    splits: dict[str, Split]

    def attribution(self, parts: StreamParts, pos: Any) -> DirectAttribution:
        """Return what each part contributes at some positions."""
        found = list(self._numbers(parts))[::-1]
        shape = parts.end.shape[:2]
        values = torch.stack([number.expand(shape)[pos] for _, number in found], -1)
        return DirectAttribution(tuple(part for part, _ in found), values, self.ending.value(parts.end)[pos])

    def _numbers(self, parts: StreamParts) -> Iterator[tuple[Part, Float[Tensor, "#batch #pos"]]]:
        """Yield each part with its numbers, the last first."""
        direction = self.ending.vector.expand_as(parts.end)
        if self.ending.name:
            yield Part(self.ending.name, bias=True), self.ending.constant
        for name, carry in reversed(self.ending.carries):
            yield from _bias(name, carry, direction)
            direction = carry.pull(direction)
        for stage in reversed(parts.stages):
            for write in stage.writes[::-1]:
                if write.name in self.splits:
                    yield from self._split(write.name, direction)
                else:
                    yield Part(write.name), (write.value * direction).sum(-1)
            yield from _bias(stage.name, stage.carry, direction)
            direction = stage.carry.pull(direction)
        for write in parts.start[::-1]:
            yield Part(write.name), (write.value * direction).sum(-1)

    def _split(self, name: str, direction: Tensor) -> Iterator[tuple[Part, Tensor]]:
        split = self.splits[name]
        yield Part(name, bias=True), split.bias(direction)
        numbers = split.numbers(direction)
        yield from ((Part(name, index), numbers[..., index]) for index in reversed(range(numbers.shape[-1])))


def _bias(name: str, carry: Carry, direction: Tensor) -> Iterator[tuple[Part, Tensor]]:
    """Yield what the bias of a norm contributes, if it has one."""
    if bool(carry.bias.any()):
        yield Part(name, bias=True), (carry.bias * direction).sum(-1)


def _positions(state: Tensor, head: Head | None, pos: int | slice | None) -> Any:
    """Return the index of the positions that were asked for, or else of those that the head reads."""
    if pos is None and head is not None and head.positions is not None:
        return torch.arange(len(state), device=state.device), head.positions
    index = -1 if pos is None else pos
    if isinstance(index, int) and not -state.shape[1] <= index < state.shape[1]:
        raise AxisError(f"Position {index} is outside the {state.shape[1]} positions of the stream.")
    return slice(None), index
