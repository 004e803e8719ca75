"""The table of points, for a terminal and for a notebook."""

import html
from collections.abc import Iterable
from itertools import groupby

from anylens.anatomy.anatomy import Anatomy
from anylens.anatomy.points import Point
from anylens.core.names import split_block

MOST_NATIVE = 12

Row = tuple[str, str, str, str, str]
HEADER: Row = ("name", "axes", "shape", "dtype", "where")


def rows(points: Iterable[Point]) -> list[Row]:
    """Return a row for each point; points that differ by block number alone share one, with the range."""
    found = []
    for _, group in groupby(_by_kin(points), key=_kin):
        same = list(group)
        layers = [point.layer for point in same if point.layer is not None]
        name = same[0].name
        if len(same) > 1:
            name = _numbered(name, f"{{{layers[0]}..{layers[-1]}}}")
        where = same[0].tap.where()
        found.append((name, " ".join(same[0].axes), _shape(same[0]), same[0].dtype, where))
    return found


def _kin(point: Point) -> tuple[str, tuple[str, ...], tuple[int, ...]]:
    return _numbered(point.name, "{i}"), point.axes, point.shape


def _numbered(name: str, number: str) -> str:
    """Return a name with another number of its block."""
    found = split_block(name)
    return f"{found[0]}blocks.{number}.{found[2]}" if found else name


def _by_kin(points: Iterable[Point]) -> list[Point]:
    """Bring points of one kind together, in the order of the first of each."""
    order: dict[tuple[str, tuple[str, ...], tuple[int, ...]], int] = {}
    listed = list(points)
    for point in listed:
        order.setdefault(_kin(point), len(order))
    return sorted(listed, key=lambda point: order[_kin(point)])


def _shape(point: Point) -> str:
    return " ".join(str(size) for size in point.shape)


def summary(anatomy: Anatomy) -> str:
    """Say in a line what streams a model has."""
    if not anatomy.streams:
        return "no residual stream found; native points only"
    parts = []
    for stream in anatomy.streams:
        kinds = "/".join(dict.fromkeys(block.kind for block in stream.blocks))
        parts.append(f"{stream.prefix or 'one stream'}: {len(stream.blocks)} blocks ({kinds})")
    return "; ".join(parts)


def table(points: Iterable[Point]) -> str:
    """Write some points for a terminal."""
    return "\n".join(_aligned(rows(points)))


def _aligned(found: list[Row]) -> list[str]:
    """Write rows in columns, under the header."""
    table = [HEADER, *found]
    widths = [min(52, max(len(row[column]) for row in table)) for column in range(len(HEADER))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def as_text(anatomy: Anatomy, canonical: list[Point], native: list[Point]) -> str:
    """Write the table for a terminal."""
    lines = _aligned([*rows(canonical), *rows(native[:MOST_NATIVE])])
    more = len(native) - MOST_NATIVE
    if more > 0:
        lines.append(f"... and {more} more native points, <module path>.hook_in and .hook_out")
    lines.append(f"and every operation: {len(anatomy.ops)} of them, <module path>.op.<function>.<k>.hook_out")
    return f"{summary(anatomy)}\n\n" + "\n".join(lines)


def as_html(anatomy: Anatomy, canonical: list[Point], native: list[Point]) -> str:
    """Write the table for a notebook; the native points are folded away."""

    def table(points: list[Point]) -> str:
        head = "".join(f"<th style='text-align:left'>{cell}</th>" for cell in HEADER)
        body = "".join(
            "<tr>"
            + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in row)
            + "</tr>"
            for row in rows(points)
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    folded = f"<details><summary>{len(native)} native points</summary>{table(native)}</details>"
    return f"<p>{html.escape(summary(anatomy))}</p>{table(canonical)}{folded}"
