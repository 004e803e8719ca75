"""A residual stream keeps its size: a block that pools, cuts or lengthens it on the way hands on another value."""

from dataclasses import replace
from math import prod

from anylens.anatomy.streams import Block, Stream
from anylens.anatomy.trace import Trace


def without_shape_changes(trace: Trace, stream: Stream) -> Stream:
    """Return a stream whose blocks that change its size on the way, by pooling or cutting, are transitions."""
    blocks = [
        block if _keeps_size(trace, block) else replace(block, path=None, sums=(), post_norms=())
        for block in stream.blocks
    ]
    return replace(stream, blocks=tuple(blocks))


def _keeps_size(trace: Trace, block: Block) -> bool:
    """Whether a block's stream has as many numbers before each add as it had behind the one before."""
    behind = [block.entered, *(one.after for one in block.sums)]
    before = [*(one.before for one in block.sums), block.left]
    pairs = [
        (one, other)
        for one, other in zip(behind, before, strict=True)
        if one is not None and other is not None
    ]
    return all(_as_large(trace.values[one].shape, trace.values[other].shape) for one, other in pairs)


def _as_large(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether a shape has the size of another, or has it once it is broadcast."""
    broadcast = len(before) == len(after) and all(b in (1, a) for b, a in zip(before, after, strict=True))
    return broadcast or prod(before) == prod(after)
