"""Names of points are words joined by dots."""

import re

_IN_BLOCK = re.compile(r"(?P<stem>(?:.*\.)?)blocks\.(?P<number>\d+)\.(?P<rest>.*)")


def join(*parts: str) -> str:
    """Join the parts of a name, leaving out empty ones: the root of a model has no path."""
    return ".".join(part for part in parts if part)


def split_block(name: str) -> tuple[str, int, str] | None:
    """Split the name of a point in a block into what stands before `blocks.`, the number, and the rest.

    `blocks` is a word of its own: `down_blocks.1.blocks.0.hook_resid_pre` is in block 0. None for other names.
    """
    found = _IN_BLOCK.fullmatch(name)
    return (found["stem"], int(found["number"]), found["rest"]) if found else None
