"""Joint streams: what enters a block by several arguments and is one stream inside it.

A block may put two tensors end to end, add to the whole, and take them apart again where it ends (a text's and a
picture's positions). Followed one by one, both would claim the same writes, in which neither has its own shape.
"""

from dataclasses import replace
from itertools import takewhile

from anylens.anatomy.paths import Path
from anylens.anatomy.streams import Block, Stream


def joint(streams: list[Stream]) -> list[Stream]:
    """Put streams of one chain that have every add in common in the place of the first of them."""
    found: list[Stream] = []
    for stream in streams:
        partners = [
            n for n, other in enumerate(found) if _adds(other) == _adds(stream) and all(_adds(stream))
        ]
        whole = _whole(found[partners[0]], stream) if partners else None
        if whole is None:
            found.append(stream)
        else:
            found[partners[0]] = whole
    return found


def _adds(stream: Stream) -> list[tuple[int, ...]]:
    return [tuple(one.op.number for one in block.sums) for block in stream.blocks]


def _whole(one: Stream, other: Stream) -> Stream | None:
    """Return the stream that two have in common, or None where they meet nowhere before their adds."""
    blocks = [_common(mine, its) for mine, its in zip(one.blocks, other.blocks, strict=True)]
    if any(block is None for block in blocks):
        return None
    return replace(one, blocks=tuple(block for block in blocks if block is not None))


def _common(one: Block, other: Block) -> Block | None:
    """Return a block with the part of its path that both streams share."""
    if one.path is None or other.path is None:
        return None
    shared = {step.target for step in other.path.steps}
    targets = [step.target for step in one.path.steps]
    begin = next((n for n, target in enumerate(targets) if target in shared), len(targets))
    length = len(list(takewhile(lambda target: target in shared, targets[begin:])))
    first = one.sums[0].op.number
    if begin >= len(targets) or one.path.steps[begin].op.number >= first:
        return None
    steps = one.path.steps[begin + 1 : begin + length]
    ends = (targets[begin], targets[begin + length - 1])
    return replace(one, path=Path(steps, one.path.cost), ends=ends)
