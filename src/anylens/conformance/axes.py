"""Axes mean what they say: the input is made larger in one dimension, and a point's dimensions follow by name."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from anylens.anatomy.points import Point
from anylens.conformance.compare import MANY, gap, same_bits
from anylens.conformance.report import Tally
from anylens.conformance.subject import Subject, noise, said
from anylens.core.names import split_block
from anylens.core.tree import leaves, replace
from anylens.running.examples import Arguments

BATCH = frozenset({"batch"})
POSITIONS = frozenset({"pos", "query_pos", "key_pos", "window"})
MOMENTS = frozenset(
    {"frame", "sample"}
)  # of what is made, or taken, over time: these may follow the positions
BOTH = frozenset({"batch_pos", "batch_window"})  # folded: these follow a change of either
FREE = frozenset({"expert", "group"})  # how many tokens an expert gets is the data's business
UNNAMED = re.compile(r"axis\d+")  # such a name promises nothing


@dataclass(frozen=True)
class Larger:
    """An input that is longer by one in one dimension, and what that dimension was."""

    given: Arguments
    dimension: int
    size: int


def follow_the_input(subject: Subject, tally: Tally) -> None:
    """Compare the shapes of canonical points between the example and larger inputs."""
    grown: dict[str, set[str]] = {}
    batches = False
    unnamed = [p.name for p in subject.canonical if any(UNNAMED.fullmatch(axis) for axis in p.axes)]
    if unnamed:
        tally.note(f"{len(unnamed)} points have axes without a name, not tried: {', '.join(unnamed[:3])}")
    for larger in larger_inputs(subject.given):
        moved = _moved(subject, tally, larger)
        if moved is None:
            continue
        family = _family(subject, larger, moved)
        batches = batches or family == BATCH
        for name, axes in moved.items():
            tally.expect(
                axes <= family | BOTH | FREE,
                name,
                f"{', '.join(sorted(axes))} changed with the input's dimension {larger.dimension} "
                f"({', '.join(sorted(family))})",
            )
            grown.setdefault(name, set()).update(axes)
    for name, axes in grown.items() if batches else ():
        still = "batch" not in axes and _has_batch(subject, name)
        tally.expect(not still, name, "batch did not change with the batch of the input")
    _all_moved(subject, tally, grown)


def _has_batch(subject: Subject, name: str) -> bool:
    """Whether a point's batch is more than a one that broadcasts."""
    value = subject.values.get(name)
    point = subject.by_name[name]
    if value is None or "batch" not in point.axes:
        return False
    return value.shape[point.axes.index("batch")] > 1


def _all_moved(subject: Subject, tally: Tally, grown: dict[str, set[str]]) -> None:
    """Every axis named a position follows some larger input, in the streams that the model took a longer one for."""
    prefixes = [stream.prefix for stream in subject.lens.anatomy.streams]
    starts = {prefix: f"{prefix}.blocks.0.hook_resid_pre".lstrip(".") for prefix in prefixes}
    followed = {prefix for prefix, start in starts.items() if grown.get(start, set()) & POSITIONS}
    for prefix in prefixes:
        if prefix not in followed:
            where = f"{prefix}: " if prefix else ""
            tally.note(
                f"{where}the model takes no other number of positions, so axes named pos are not tried"
            )
    for name, axes in grown.items():
        owner = max((prefix for prefix in prefixes if _of(prefix, name)), key=len, default=None)
        if "window" in axes or owner not in followed:
            continue  # more windows may be as long as before
        across = "cross_attn." in name and len(followed) < len(prefixes)  # keys may be a stream's that stays
        still = POSITIONS & set(subject.by_name[name].axes) - axes
        if still and split_block(name) is None and _holds_a_part(subject, name, starts[owner]):
            tally.note(f"{name} holds a part of its stream's positions, and may not follow the others")
            continue
        tally.expect(
            across or not still, name, f"{', '.join(sorted(still))} did not change with the positions"
        )


def _holds_a_part(subject: Subject, name: str, start: str) -> bool:
    """Whether a point has features as its stream has, and fewer positions: those of a picture without its text."""
    sizes = []
    for one in (name, start):
        value, axes = subject.values.get(one), subject.by_name[one].axes
        if value is None or not {"pos", "d_model"} <= set(axes):
            return False
        sizes.append((value.shape[axes.index("pos")], value.shape[axes.index("d_model")]))
    (own, width), (whole, features) = sizes
    return own < whole and width == features


def _of(prefix: str, name: str) -> bool:
    """Whether a point is one of the stream with this prefix."""
    return name.startswith(f"{prefix}." if prefix else ("blocks.", "hook_", "ln_final"))


def larger_inputs(given: Arguments) -> Iterator[Larger]:
    """Yield the input one longer in dimensions 0 and 1, once for each size that its tensors have there."""
    found = [tensor for _, tensor in leaves(given) if tensor.dim()]
    rows = [t.shape[0] for t in found if t is found[0] or t.dim() > 1]  # two components may have a batch each
    columns = [t.shape[1] for t in found if 1 < t.dim() < 4]
    for dimension, sizes in enumerate((rows, columns)):
        for size in dict.fromkeys(sizes):
            yield Larger(_longer(given, dimension, size), dimension, size)


def _longer(given: Arguments, dimension: int, size: int) -> Arguments:
    """Repeat the first slice of a dimension at its end, in every tensor that has this size there."""
    whole: Any = given
    for key, tensor in list(leaves(given)):
        if tensor.dim() > dimension and tensor.shape[dimension] == size:
            whole = replace(whole, key, torch.cat([tensor, tensor.narrow(dimension, 0, 1)], dimension))
    args, kwargs = whole
    return tuple(args), kwargs


def _moved(subject: Subject, tally: Tally, larger: Larger) -> dict[str, set[str]] | None:
    """Return the names of the axes whose size changed, for each point."""
    what = f"an input longer in dimension {larger.dimension} (size {larger.size})"
    try:
        subject.own(larger.given)
    except Exception as error:
        tally.note(f"the model refuses {what}: {said(error)[:80]}")
        return None
    try:
        _, cache = subject.read(subject.canonical, given=larger.given)
    except Exception as error:
        tally.fail(what, said(error))
        return None
    moved = {}
    for name, value in cache.items():
        before = subject.values.get(name)
        if before is None or before.dim() != value.dim():
            continue
        point = subject.by_name[name]
        sizes = zip(point.axes, before.shape, value.shape, strict=False)
        moved[name] = {axis for axis, old, new in sizes if old != new and not UNNAMED.fullmatch(axis)}
    return moved


def _family(subject: Subject, larger: Larger, moved: dict[str, set[str]]) -> frozenset[str]:
    """Say what a dimension of the input is: dimension 0 the batch, unless the streams have their positions first.

    Then what enters the first stream that changed says it: a model may take its batch first, and turn it. A stream of
    positions alone has them packed, those of one input behind the other's: what is as long is packed too.
    """
    streams = subject.lens.anatomy.streams
    packed = [stream for stream in streams if stream.axes[:1] == ("pos",) and "batch" not in stream.axes]
    entering = (
        subject.values.get(f"{stream.prefix}.blocks.0.hook_resid_pre".lstrip(".")) for stream in packed
    )
    if larger.dimension == 0 and larger.size in {value.shape[0] for value in entering if value is not None}:
        return POSITIONS | MOMENTS
    entered = subject.lens.points.native.get("hook_in")
    spread = [stream for stream in streams if stream not in packed]
    first = spread[0].axes[:1] if spread else entered.axes[:1] if entered and not streams else ()
    batch = 1 if first == ("pos",) else 0
    for stream in spread if batch else ():
        if start := moved.get(f"{stream.prefix}.blocks.0.hook_resid_pre".lstrip(".")):
            return BATCH if "batch" in start else POSITIONS | MOMENTS
    return BATCH if larger.dimension == batch else POSITIONS | MOMENTS


def rows_apart(subject: Subject, tally: Tally) -> None:
    """An edit of one row of the batch leaves the other rows of everything behind it as they are."""
    for stream in subject.lens.anatomy.streams:
        prefix = f"{stream.prefix}." if stream.prefix else ""
        point = subject.by_name.get(f"{prefix}blocks.0.hook_resid_pre")
        if point is None or "batch" not in point.axes or point.name not in subject.values:
            continue
        size = subject.values[point.name].shape[point.axes.index("batch")]
        if size < 2:
            tally.note(f"{prefix}blocks: a batch of one says nothing about rows")
            continue
        _one_row(subject, tally, point, prefix)


def _one_row(subject: Subject, tally: Tally, point: Point, prefix: str) -> None:
    behind = [
        p
        for p in subject.canonical
        if p.name.startswith(f"{prefix}blocks.") and "batch" in p.axes and p.name != point.name
    ]
    axis = point.axes.index("batch")

    def one_row(value: torch.Tensor, _: Any) -> torch.Tensor:
        new = value.clone()
        new.select(axis, 0).add_(noise(value).select(axis, 0))
        return new

    _, base = subject.read(behind)
    _, cache = subject.read(behind, hooks={point.name: one_row})
    for other in behind:
        dimension = other.axes.index("batch")
        before, after = base[other.name], cache[other.name]
        rest = range(1, before.shape[dimension])
        if not rest or before.shape != after.shape:
            continue
        own = before.narrow(dimension, 1, len(rest))
        seen = after.narrow(dimension, 1, len(rest))
        holds = same_bits(own, seen) or gap(own, seen) <= MANY.get(own.dtype, 0.1)
        tally.expect(holds, other.name, f"rows that were not edited changed with row 0 of {point.name}")
