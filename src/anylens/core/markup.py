"""HTML from Python: elements whose text and attributes are escaped."""

import html
from collections.abc import Iterable
from typing import Any

ALONE = ("img", "input", "br", "wbr", "path", "rect", "line", "circle")  # elements without content


class Html(str):
    """Text that is HTML already; any other text is escaped where it enters an element."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return self

    def __html__(self) -> str:
        """Say to jinja2 that this is not to be escaped again."""
        return self


def tag(name: str, *children: Any, **attributes: Any) -> Html:
    """Return an element. Underscores in the names of attributes become hyphens, and a last one is dropped.

    Attributes that are None or False are left out, and those that are True stand without a value.
    """
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    said = "".join(
        _attribute(key, value) for key, value in given.items() if value is not None and value is not False
    )
    if name in ALONE:
        return Html(f"<{name}{said}/>")
    return Html(f"<{name}{said}>{join(children)}</{name}>")


def join(children: Any) -> Html:
    """Return pieces one after the other, escaping those that are no HTML."""
    return Html("".join(one if isinstance(one, Html) else html.escape(str(one)) for one in children))


def _attribute(key: str, value: Any) -> str:
    if value is True:
        return f" {key}"
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f' {key}="{html.escape(shown)}"'


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> Html:
    """Return a table for a notebook, its cells aligned to the left."""
    left = "text-align:left"
    lines = [tag("tr", *(tag("td", cell, style=left) for cell in row)) for row in rows]
    titles = [tag("th", cell, style=left) for cell in head]
    return tag("table", tag("thead", tag("tr", *titles)), tag("tbody", *lines))
