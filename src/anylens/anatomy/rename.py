"""Gives the streams of a model the names its components go by. What was watched stays as it is."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from anylens.anatomy.anatomy import Anatomy, CallRecord, ModuleRecord, StreamRecord, Tensor
from anylens.anatomy.canonical import TABLE
from anylens.anatomy.chains import container
from anylens.anatomy.select import prefixes
from anylens.core.axes import Axes
from anylens.core.names import join

Place = tuple[str, str, int]  # the holder of a stream, and its first block

_CANONICAL = re.compile(
    r"blocks\.(\d+|\*)\..*|" + "|".join(re.escape(row.name) for row in TABLE if "{i}" not in row.name)
)


def rename(anatomy: Anatomy, components: Mapping[str, str]) -> Anatomy:
    """Return the anatomy with streams named by component: path of a component -> its name.

    The longest path that holds a stream names it; a `*` in it is any one word, and goes into the name. Several streams
    of one component are told apart behind its name, as its stages are. Streams of the same blocks are told apart by the
    argument by which they enter, which may be given a name as well. A model with one stream has no prefix, whatever its
    components are called.
    """
    if len(anatomy.streams) < 2 or not components:
        return anatomy
    new = _new_prefixes(anatomy.streams, components)
    if len(set(new)) < len(new):  # two components by one name: keep what behaviour showed
        return anatomy
    changed = {stream.prefix: name for stream, name in zip(anatomy.streams, new, strict=True)}
    return replace(
        anatomy,
        streams=tuple(replace(stream, prefix=changed[stream.prefix]) for stream in anatomy.streams),
        canonical=tuple(replace(point, name=_renamed(point.name, changed)) for point in anatomy.canonical),
        absent=tuple((_renamed(name, changed), why) for name, why in anatomy.absent),
    )


def rename_axes(anatomy: Anatomy, names: Mapping[str, str]) -> Anatomy:
    """Return the anatomy with axes called by other names."""
    if not names:
        return anatomy

    def called(axes: Axes) -> Axes:
        return tuple(names.get(axis, axis) for axis in axes)

    def tensors(listed: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(replace(tensor, axes=called(tensor.axes)) for tensor in listed)

    def calls(record: ModuleRecord) -> tuple[CallRecord, ...]:
        return tuple(CallRecord(tensors(call.inputs), tensors(call.outputs)) for call in record.each)

    return replace(
        anatomy,
        streams=tuple(replace(stream, axes=called(stream.axes)) for stream in anatomy.streams),
        canonical=tuple(replace(point, axes=called(point.axes)) for point in anatomy.canonical),
        modules=tuple(replace(record, each=calls(record)) for record in anatomy.modules),
        ops=tuple(replace(op, inputs=tensors(op.inputs), outputs=tensors(op.outputs)) for op in anatomy.ops),
    )


def holder(stream: StreamRecord) -> str:
    """Return the path of the module that holds a stream's blocks."""
    paths = {block.path for block in stream.blocks}
    return container(stream.blocks[0].path) if len(paths) > 1 or len(stream.blocks) == 1 else min(paths)


def _new_prefixes(streams: tuple[StreamRecord, ...], components: Mapping[str, str]) -> list[str]:
    """Return the new prefix of each stream."""
    places: dict[Place, list[StreamRecord]] = defaultdict(list)  # streams of the same blocks run side by side
    for stream in streams:
        places[_place(stream)].append(stream)
    inside: dict[str | None, list[Place]] = defaultdict(list)
    for place, beside in places.items():
        inside[_component(beside[0], components)].append(place)
    lead = {
        place: f".{beside[0].prefix}".removesuffix(f".{_side(beside[0], beside, components)}").strip(".")
        for place, beside in places.items()
    }
    for component, held in inside.items():
        if component is not None:
            inner = prefixes([place[:2] for place in held])
            lead |= {place: join(component, part) for place, part in zip(held, inner, strict=True)}
    return [join(lead[_place(s)], _side(s, places[_place(s)], components)) for s in streams]


def _place(stream: StreamRecord) -> Place:
    return holder(stream), stream.blocks[0].path, stream.blocks[0].turn


def _side(stream: StreamRecord, beside: list[StreamRecord], components: Mapping[str, str]) -> str:
    """Return what tells a stream from those beside it: the name of the argument by which it enters the blocks."""
    if len(beside) == 1:
        return ""
    return components.get(stream.entry, "" if stream is beside[0] else stream.entry)


def _component(stream: StreamRecord, components: Mapping[str, str]) -> str | None:
    """Return the name of the innermost component that holds all of a stream's blocks, or None."""
    fitting = {}
    for path, name in components.items():
        stood = [_stood_for(path.split("."), block.path.split(".")) for block in stream.blocks]
        if stood[0] is not None and all(one == stood[0] for one in stood):
            fitting[path] = _filled(name, stood[0])
    return fitting[max(fitting, key=lambda path: path.count("."))] if fitting else None


def _stood_for(pattern: list[str], path: list[str]) -> list[str] | None:
    """Return what each `*` of a pattern stands for in a path that it holds, or None where it does not hold it."""
    pairs = list(zip(pattern, path, strict=False))
    if len(pairs) < len(pattern) or any(want not in ("*", part) for want, part in pairs):
        return None
    return [part for want, part in pairs if want == "*"]


def _filled(name: str, parts: list[str]) -> str:
    """Put parts in the place of the stars of a name, one after the other."""
    for part in parts:
        name = name.replace("*", part, 1)
    return name


def _renamed(name: str, changed: Mapping[str, str]) -> str:
    """Return a point's name with the prefix of its stream changed; names by path alone stay."""
    for old in sorted(changed, key=len, reverse=True):
        bare = name[len(old) + 1 :] if old and name.startswith(f"{old}.") else name
        if (bare != name or not old) and _CANONICAL.fullmatch(bare):
            return f"{changed[old]}.{bare}" if changed[old] else bare
    return name
