"""What a notebook shows: pieces of a page with the style that they need, and no script."""

from collections.abc import Iterable
from importlib.resources import files

from anylens.core.markup import Html, tag

WIDTH = 180  # pixels of a piece at least


def framed(said: str, pieces: Iterable[Html]) -> Html:
    """Return pieces side by side under a line that says what they are."""
    style = Html((files("anylens.features") / "fragments.css").read_text(encoding="utf-8"))
    grid = f"display:grid;gap:1em;grid-template-columns:repeat(auto-fill,minmax({WIDTH}px,1fr))"
    return tag(
        "div",
        tag("style", style),
        tag("p", said),
        tag("div", *(tag("div", one) for one in pieces), style=grid),
    )
