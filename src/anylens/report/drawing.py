"""A drawing of a model's anatomy: each residual stream as a line, and what its blocks write to it.

Blocks that are alike are drawn once. Whatever has a name in the drawing is a point of that name. It is plain SVG.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from anylens.anatomy.anatomy import BlockRecord, StreamRecord
from anylens.core.markup import Html, tag
from anylens.core.names import split_block
from anylens.lens import Lens

LETTER = 7.3  # width of a letter of a name, in pixels
LINE = 15  # height of a line of names
ROOM = 16  # between things
WRITE = 184  # width of what writes to the stream, with the ways to it and back
INK, MUTED, FAINT, STREAM = "#1c2024", "#60646c", "#eef1f5", "#0072b2"
FONT = "font-family:DejaVu Sans Mono,Menlo,ui-monospace,monospace;font-size:12px"


@dataclass(frozen=True)
class Part:
    """A piece of a drawing, and the room that it takes above its stream, below it, and along it, in pixels."""

    pieces: tuple[Html, ...]
    above: float
    below: float
    width: float


def drawing(lens: Lens) -> Html:
    """Draw the residual streams of a model, as an SVG element; a notebook shows it.

    Raises AttachError if the model has not been watched yet.
    """
    rows = [_row(lens, stream) for stream in lens.anatomy.streams]
    if not rows:
        rows = [Part((_text(0, 0, "no residual stream found: native points only"),), ROOM, ROOM, 400)]
    pieces, y = [], float(ROOM)
    for row in rows:
        pieces.append(_moved(row.pieces, ROOM, y + row.above))
        y += row.above + row.below + ROOM
    width = max(row.width for row in rows) + 2 * ROOM
    paper = tag("rect", width=width, height=y, fill="#ffffff", rx=8)
    return tag(
        "svg",
        tag("title", f"The anatomy of a {type(lens.model).__name__}"),
        tag("style", f"text{{{FONT}}}"),
        paper,
        *pieces,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:.0f} {y:.0f}",
        width=round(width),
        role="img",
    )


def _row(lens: Lens, stream: StreamRecord) -> Part:
    """A stream from its embedding to what reads it, on a line at height zero."""
    names = _names(lens, stream)
    ends = [name for name in names if split_block(name) is None]
    last = [name for name in ends if "ln_final" in name or "logits" in name]
    parts = [_end([name for name in ends if name not in last], "enters")]
    parts += [_blocks(stream, list(alike), names) for _, alike in groupby(stream.blocks, _kind)]
    parts.append(_end([*last, *([f"unembed: {stream.unembed}"] if stream.unembed else [])], "leaves"))
    parts = [part for part in parts if part.width]
    pieces, x = [], 0.0
    for part in parts:
        pieces.append(_moved(part.pieces, x, 0))
        x += part.width + ROOM
    above = max(part.above for part in parts) + 1.6 * LINE
    title = (
        f"{stream.prefix or type(lens.model).__name__}: {len(stream.blocks)} blocks, {' '.join(stream.axes)}"
    )
    return Part(
        (_text(0, LINE - above, title, weight=600), *pieces),
        above,
        max(part.below for part in parts),
        max(x - ROOM, (len(title) + 2) * LETTER),
    )


def _names(lens: Lens, stream: StreamRecord) -> list[str]:
    """The names of a stream's canonical points, without its prefix."""
    start = f"{stream.prefix}." if stream.prefix else ""
    others = [other.prefix for other in lens.anatomy.streams if other is not stream and other.prefix]
    found = [point.name for point in lens.points.canonical.values() if point.name.startswith(start)]
    inside = [other for other in others if other.startswith(start)]
    return [
        name.removeprefix(start) for name in found if not any(name.startswith(f"{one}.") for one in inside)
    ]


def _kind(block: BlockRecord) -> tuple[str, tuple[str, ...], tuple[int, ...]]:
    return block.kind, block.writes, block.sums


def _blocks(stream: StreamRecord, alike: Sequence[BlockRecord], names: Iterable[str]) -> Part:
    """Blocks that are alike, as one: a frame, the states of the stream, and what is written between them."""
    first = stream.blocks.index(alike[0])
    block, start = alike[0], f"blocks.{first}."
    inside = [name.removeprefix(start) for name in names if name.startswith(start)]
    sums = block.sums or (len(block.writes),)
    states = ["hook_resid_pre", *block.mids, "hook_resid_post"]
    pieces, x, above, number = [], ROOM / 2, 3.0 * LINE, 0
    for place, count in enumerate(sums):
        pieces += _state(x, states[place], inside, low=bool(place % 2))
        for write in block.writes[number : number + count]:
            made = _write(x, write, inside)
            pieces += made.pieces
            above, x = max(above, made.above), x + made.width
        number += count
        pieces.append(_plus(x))
        x += ROOM
    pieces += _state(x, states[-1], inside, low=bool(len(sums) % 2))
    width = x + len(states[-1]) * LETTER + ROOM
    norms = "  ".join(name for name in inside if name.startswith("ln"))
    below = (3.6 if not norms else 5.2) * LINE
    title = f"blocks.{first}" + (f" ... blocks.{first + len(alike) - 1}, alike" if len(alike) > 1 else "")
    width = max(width, (max(len(title), len(norms)) + 2) * LETTER)
    frame = tag(
        "rect", x=0, y=-above - 1.8 * LINE, width=width, height=above + below + 1.4 * LINE, rx=8, fill=FAINT
    )
    words = [_text(ROOM / 2, -above - 0.6 * LINE, title, weight=600)]
    words += [_text(ROOM / 2, below - 0.9 * LINE, norms, colour=MUTED)] if norms else []
    rail = tag("line", x1=-ROOM, x2=width + ROOM, y1=0, y2=0, stroke=STREAM, stroke_width=3)
    return Part((frame, rail, *words, *pieces), above + 1.8 * LINE, below, width)


def _write(x: float, write: str, inside: Sequence[str]) -> Part:
    """What writes to the stream: a box with the points inside it, and the ways from the stream and back."""
    stem = {"mixer": "ssm"}.get(write, write)
    held = [name.removeprefix(f"{stem}.") for name in inside if name.startswith(f"{stem}.")]
    out = f"hook_{write}_out"
    width = max(WRITE, (max(map(len, [out, *held])) + 3) * LETTER)
    high = (len(held) + 1.6) * LINE
    low = 2.4 * LINE
    box = tag("rect", x=x, y=-low - high, width=width - ROOM, height=high, rx=6, fill="#ffffff", stroke=MUTED)
    words = [_text(x + 8, -low - high + LINE, write, weight=600)]
    words += [_text(x + 8, -low - high + (row + 2) * LINE, name) for row, name in enumerate(held)]
    back = x + width - 1.5 * ROOM
    ways = [_arrow(x + 10, 0, x + 10, -low), _arrow(back, -low, back, -3)]
    named = [_text(back - 6, -0.9 * LINE, out, anchor="end")] if out in inside else []
    return Part((box, *words, *ways, *named), high + low, 0, width)


def _state(x: float, name: str, inside: Sequence[str], *, low: bool) -> list[Html]:
    """A state of the stream, with its name if it has one."""
    if name not in inside:
        return []
    y = (2.4 if low else 1.3) * LINE
    return [tag("circle", cx=x, cy=0, r=4, fill=STREAM), _text(max(x - 4, 4), y, name, colour=STREAM)]


def _plus(x: float) -> Html:
    """Where what was written is added."""
    x -= 1.5 * ROOM
    cross = tag("path", d=f"M{x - 4:.1f} 0h8M{x:.1f} -4v8", stroke=INK, stroke_width=1.5)
    return tag("g", tag("circle", cx=x, cy=0, r=7, fill="#ffffff", stroke=INK), cross)


def _end(names: Sequence[str], title: str) -> Part:
    """What stands before the first block, or behind the last: the names of its points."""
    if not names:
        return Part((), 0, 0, 0)
    width = (max(map(len, [title, *names])) + 3) * LETTER
    high = (len(names) + 1.6) * LINE
    box = tag("rect", x=0, y=-high / 2, width=width, height=high, rx=6, fill="#ffffff", stroke=STREAM)
    words = [_text(8, -high / 2 + LINE, title, weight=600)]
    words += [_text(8, -high / 2 + (row + 2) * LINE, name) for row, name in enumerate(names)]
    return Part((box, *words), high / 2, high / 2, width)


def _arrow(x1: float, y1: float, x2: float, y2: float) -> Html:
    head = -5 if y2 < y1 else 5
    path = f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}m-3.5 {-head}l3.5 {head}l3.5 {-head}"
    return tag("path", d=path, fill="none", stroke=INK, stroke_width=1.3)


def _text(
    x: float, y: float, words: str, *, colour: str = INK, weight: int | None = None, anchor: str | None = None
) -> Html:
    return tag("text", words, x=x, y=y, fill=colour, font_weight=weight, text_anchor=anchor)


def _moved(pieces: Iterable[Html], x: float, y: float) -> Html:
    return tag("g", *pieces, transform=f"translate({x:.1f} {y:.1f})")
