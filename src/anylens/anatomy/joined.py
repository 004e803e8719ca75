"""One anatomy of several models that run beside each other: the parts of a pipeline, each under its path."""

from collections.abc import Mapping
from dataclasses import replace

from anylens.anatomy.anatomy import Anatomy, StreamRecord
from anylens.anatomy.points import Point, Tap
from anylens.core.names import join


def joined(parts: Mapping[str, Anatomy]) -> Anatomy:
    """Return an anatomy with the points of all parts; names and paths begin with the path of the part."""
    moved = [_moved(path, anatomy) for path, anatomy in parts.items()]
    return Anatomy(
        key="",
        streams=tuple(stream for one in moved for stream in one.streams),
        canonical=tuple(point for one in moved for point in one.canonical),
        absent=tuple(pair for one in moved for pair in one.absent),
        modules=tuple(record for one in moved for record in one.modules),
        ops=tuple(record for one in moved for record in one.ops),
        versions=tuple(dict.fromkeys(pair for one in moved for pair in one.versions)),
    )


def _moved(path: str, anatomy: Anatomy) -> Anatomy:
    return replace(
        anatomy,
        streams=tuple(_stream(path, stream) for stream in anatomy.streams),
        canonical=tuple(
            replace(_with_taps(point, path), name=join(path, point.name)) for point in anatomy.canonical
        ),
        absent=tuple((join(path, name), why) for name, why in anatomy.absent),
        modules=tuple(
            replace(
                record,
                path=join(path, record.path),
                within=join(path, record.within),
                strays=tuple(join(path, stray) for stray in record.strays),
            )
            for record in anatomy.modules
        ),
        ops=tuple(
            replace(record, path=join(path, record.path), within=join(path, record.within))
            for record in anatomy.ops
        ),
    )


def _stream(path: str, stream: StreamRecord) -> StreamRecord:
    return replace(
        stream,
        prefix=join(path, stream.prefix),
        blocks=tuple(replace(block, path=join(path, block.path)) for block in stream.blocks),
        norm=join(path, stream.norm) if stream.norm else "",
        unembed=join(path, stream.unembed) if stream.unembed else "",
    )


def _with_taps(point: Point, path: str) -> Point:
    def moved(tap: Tap | None) -> Tap | None:
        return tap and replace(tap, path=join(path, tap.path), within=join(path, tap.within))

    return replace(
        point, tap=moved(point.tap) or point.tap, reader=moved(point.reader), lead=moved(point.lead)
    )


def within(point: Point, path: str) -> Point:
    """Return a point of a joined anatomy as the part at `path` has it; the name stays whole."""

    def own(tap: Tap | None) -> Tap | None:
        return tap and replace(tap, path=_below(tap.path, path), within=_below(tap.within, path))

    return replace(point, tap=own(point.tap) or point.tap, reader=own(point.reader), lead=own(point.lead))


def _below(path: str, part: str) -> str:
    return path.removeprefix(part).removeprefix(".")
