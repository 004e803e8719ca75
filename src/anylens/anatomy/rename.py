"""Gives the streams of a model the names its components go by. What was watched stays as it is."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from anylens.anatomy.anatomy import Anatomy, StreamRecord
from anylens.anatomy.canonical import TABLE
from anylens.anatomy.chains import container
from anylens.anatomy.select import prefixes

_CANONICAL = re.compile(
    r"blocks\.(\d+|\*)\..*|" + "|".join(re.escape(row.name) for row in TABLE if "{i}" not in row.name)
)


def rename(anatomy: Anatomy, components: Mapping[str, str]) -> Anatomy:
    """Return the anatomy with streams named by component: path of a component -> its name.

    The longest path that holds a stream names it. Several streams of one component are told apart behind its name, as
    its stages are. A model with one stream has no prefix, whatever its components are called.
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


def holder(stream: StreamRecord) -> str:
    """Return the path of the module that holds a stream's blocks."""
    paths = {block.path for block in stream.blocks}
    return container(stream.blocks[0].path) if len(paths) > 1 or len(stream.blocks) == 1 else min(paths)


def _new_prefixes(streams: tuple[StreamRecord, ...], components: Mapping[str, str]) -> list[str]:
    """Return the new prefix of each stream."""
    held: dict[str, list[int]] = defaultdict(list)
    for number, stream in enumerate(streams):
        inside = [path for path in components if f"{holder(stream)}.".startswith(f"{path}.")]
        if inside:
            held[components[max(inside, key=len)]].append(number)
    new = [stream.prefix for stream in streams]
    for component, numbers in held.items():
        holders = list(dict.fromkeys(holder(streams[number]) for number in numbers))
        inner = dict(zip(holders, prefixes(holders), strict=True))
        lead: dict[str, str] = {}
        for number in numbers:
            place, old = holder(streams[number]), streams[number].prefix
            beside = old.removeprefix(lead.setdefault(place, old)).strip(".")
            new[number] = ".".join(part for part in (component, inner[place], beside) if part)
    return new


def _renamed(name: str, changed: Mapping[str, str]) -> str:
    """Return a point's name with the prefix of its stream changed; names by path alone stay."""
    for old in sorted(changed, key=len, reverse=True):
        bare = name[len(old) + 1 :] if old and name.startswith(f"{old}.") else name
        if (bare != name or not old) and _CANONICAL.fullmatch(bare):
            return f"{changed[old]}.{bare}" if changed[old] else bare
    return name
