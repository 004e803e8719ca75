"""Attention as one page: every head's pattern, and what each position attends to, shown on the input."""

import base64
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anylens.core import __version__
from anylens.core.errors import StoreError
from anylens.core.optional import require
from anylens.features.attention import Attention, Side
from anylens.features.kinds import Mark
from anylens.features.kinds.kind import said
from anylens.features.media import Media
from anylens.report.features.page import STYLES, in_script

MOST = 64_000_000  # weights that a page holds
SCRIPTS = ("chunks.js", "sounds.js")


def attention_page(attention: Attention, file: Path | str, *, title: str = "") -> Path:
    """Write attention as one self-contained HTML file, and return it.

    Args:
        attention: of `anylens.features.attention`.
        file: to write.
        title: of the page.

    Raises:
        StoreError: there is too much to show on a page, or the file cannot be written.
        MissingExtraError: jinja2 is not installed.
    """
    weights = sum(one.values.numel() for one in attention.patterns)
    if weights > MOST:
        raise StoreError(
            f"The patterns have {weights:,} weights, and a page shows {MOST:,} at most. Choose fewer layers with "
            "points=, or fewer steps."
        )
    file = Path(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(render(attention, title or attention.title or "Attention"), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"The page cannot be written to {file}: {error}.") from error
    return file


def render(attention: Attention, title: str) -> str:
    """Return the page as HTML."""
    sides, media = _Sides(), dict[str, Media]()
    patterns = [
        {
            "name": one.name,
            "shape": list(one.values.shape),
            "queries": sides.number(one.queries, media),
            "keys": sides.number(one.keys, media),
            "weights": packed(one.values),
        }
        for one in attention.patterns
    ]
    jinja = require("jinja2", extra="report")
    environment = jinja.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    here, there = files("anylens.report.attention"), files("anylens.report.features")
    styles = [*STYLES, ("anylens.report.attention", "page.css")]
    page: str = environment.from_string((here / "page.html").read_text(encoding="utf-8")).render(
        title=title,
        style="\n".join((files(place) / name).read_text(encoding="utf-8") for place, name in styles),
        scripts=[
            *((there / name).read_text(encoding="utf-8") for name in SCRIPTS),
            (here / "page.js").read_text(encoding="utf-8"),
        ],
        content=in_script({"patterns": patterns, "sides": sides.records}),
        media={name: one.address for name, one in media.items()},
        version=__version__,
    )
    return page


class _Sides:
    """The sides of patterns, those that are alike once."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self._known: dict[str, int] = {}

    def number(self, side: Side, media: dict[str, Media]) -> int:
        """Return the number of a side, and keep its media."""
        place = len(self.records)
        marks = [Mark(number, where) for number, where in enumerate(side.places)]
        names = {name: f"media/{place}-{name}{one.suffix}" for name, one in side.view.media.items()}
        html = side.kind.html(side.view, marks, lambda name: names.get(name, ""))
        labels = [self._label(side, number) for number in range(len(marks))]
        key = f"{html.replace(f'media/{place}-', '')} {labels}"
        if key not in self._known:
            self._known[key] = place
            self.records.append({"html": html, "labels": labels, "kind": type(side.kind).__name__.lower()})
            media.update({names[name]: one for name, one in side.view.media.items()})
        return self._known[key]

    @staticmethod
    def _label(side: Side, number: int) -> str:
        place, words = side.places[number], side.view.words
        return words[number] if place.token is not None and number < len(words) else said(place)


def packed(values: Tensor) -> str:
    """Return weights 0..1 as bytes, in base64: the square root of each in 255 steps, so that small ones show."""
    steps = (values.clamp(0, 1).sqrt() * 255).round().to(torch.uint8).contiguous()
    return base64.b64encode(steps.numpy().tobytes()).decode()
