"""Names: every block has the points it should have or a reason, under the prefix of the stream it belongs to."""

import re

from anylens.anatomy.anatomy import BlockRecord
from anylens.anatomy.canonical import TABLE
from anylens.anatomy.lookup import is_glob
from anylens.anatomy.points import Point
from anylens.conformance.report import Tally
from anylens.conformance.subject import Subject
from anylens.core.errors import AbsentPointError, PointError

_CALL = re.compile(
    r"(^|\.)calls\.\d+(?=\.|$)"
)  # which time the blocks of this stream run: no part of the model


def are_complete(subject: Subject, tally: Tally) -> None:
    """Look up every name of the canonical table in every block: a point, or an error that says why not."""
    points = subject.lens.points
    for base, block in subject.blocks():
        for row in TABLE:
            if not row.name.startswith("blocks.{i}."):
                continue
            name = f"{base}.{row.name.removeprefix('blocks.{i}.')}"
            try:
                found = points[name].name
                tally.expect(found == name, name, f"leads to {found}")
            except AbsentPointError as error:
                tally.expect(bool(error.why), name, "is missing without a reason")
            except PointError as error:
                several = f"{name}[0]" in points.canonical
                tally.expect(several, name, f"is neither there nor known to be absent: {error}")
        _writes(subject, tally, base, block.writes)
    for name in points.canonical:
        tally.expect(not is_glob(name), name, "cannot be asked for by its exact name")


def _writes(subject: Subject, tally: Tally, base: str, writes: tuple[str, ...]) -> None:
    """Each write that the anatomy lists has its point, and the stream its two ends."""
    known = subject.lens.points.canonical
    absent = dict(subject.lens.anatomy.absent)
    for end in ("hook_resid_pre", "hook_resid_post"):
        tally.expect(f"{base}.{end}" in known, f"{base}.{end}", "is missing: each block of a stream has it")
    for kind in set(writes):
        count = writes.count(kind)
        for number in range(count):
            name = f"{base}.hook_{kind}_out" + (f"[{number}]" if count > 1 else "")
            there = name in known or bool(absent.get(name))
            tally.expect(there, name, "is missing, though the block writes it")


def prefixes_hold(subject: Subject, tally: Tally) -> None:
    """Prefixes tell streams apart, and one that is the name of a part of the model is on that part's stream."""
    streams = subject.lens.anatomy.streams
    prefixes = [stream.prefix for stream in streams]
    tally.expect(len(set(prefixes)) == len(prefixes), "prefixes", f"are given twice: {prefixes}")
    parts = [{word for block in stream.blocks for word in block.path.split(".")} for stream in streams]
    for number, stream in enumerate(streams):
        elsewhere = set().union(*(words for n, words in enumerate(parts) if n != number), set())
        for word in _CALL.sub("", stream.prefix).split("."):
            swapped = word in elsewhere and word not in parts[number]
            where = stream.blocks[0].path if stream.blocks else "nowhere"
            tally.expect(
                not swapped, stream.prefix or "(none)", f"names another part than {where}, where it is"
            )
    for base, block in subject.blocks():
        for point in subject.of_block(base):
            held = [block.path] if block.parts is None else [path for path, _ in block.parts]
            inside = any(_inside(point.tap.path, path) for path in held)
            inside = inside or any(point.tap.path in _strays(subject, path) for path in held)
            inside = inside or _around(point, base, block)
            tally.expect(inside, point.name, f"lies at {point.tap.where()}, outside its block {block.path}")


def _inside(path: str, block: str) -> bool:
    return path == block or path.startswith(f"{block}.") or not block


def _around(point: Point, base: str, block: BlockRecord) -> bool:
    """Whether a point lies at a block's caller: an end of the stream, where that adds what the block gives out.

    Of a block that is no module, what its caller computes is its own, and its ends are whatever hands the stream on.
    """
    name, inside = point.name.removeprefix(f"{base}."), _inside(block.path, point.tap.path)
    end = name in ("hook_resid_pre", "hook_resid_post")
    if block.parts is not None:
        return end or name == "hook_normalized_resid_post" or inside
    return end and inside


def _strays(subject: Subject, block: str) -> set[str]:
    """Return the modules that a block calls though they are held elsewhere."""
    held = subject.lens.anatomy.modules
    return {stray for record in held if _inside(record.path, block) for stray in record.strays}
