"""How figures look, on a light page and on a dark one; colours that the colour-blind can tell apart.

Lines use Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), maps of one quantity use viridis.
"""

import io
from dataclasses import dataclass
from typing import Any

from anylens.core.optional import require

HEAT = "viridis"


@dataclass(frozen=True)
class Theme:
    """Colours of a figure: of the page behind it, of text, of what should stay in the back, and of lines in order."""

    name: str
    page: str
    ink: str
    muted: str
    faint: str
    lines: tuple[str, str, str]

    @property
    def settings(self) -> dict[str, Any]:
        """Return matplotlib's settings for this theme."""
        return {
            "font.family": "DejaVu Sans",
            "font.size": 10.5,
            "figure.facecolor": self.page,
            "axes.facecolor": self.page,
            "text.color": self.ink,
            "axes.labelcolor": self.ink,
            "axes.edgecolor": self.muted,
            "axes.titlesize": 10.5,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "xtick.color": self.muted,
            "ytick.color": self.muted,
            "xtick.labelcolor": self.ink,
            "ytick.labelcolor": self.ink,
            "xtick.labelsize": 9.5,
            "ytick.labelsize": 9.5,
            "grid.color": self.faint,
            "lines.linewidth": 2.2,
        }


LIGHT = Theme("light", "#ffffff", "#1c2024", "#60646c", "#e0e1e6", ("#d55e00", "#0072b2", "#60646c"))
DARK = Theme("dark", "#15181d", "#edeef0", "#b0b4ba", "#363a3f", ("#f0a04b", "#6ab7ee", "#b0b4ba"))
THEMES = (LIGHT, DARK)


def figure(width: float, height: float, *, layout: str | None = "constrained") -> Any:
    """Return an empty figure, sizes in inches, that belongs to no window and no global state."""
    return require("matplotlib.figure", extra="plots").Figure(figsize=(width, height), layout=layout)


def settings(theme: Theme) -> Any:
    """Return the context in which a theme's figures are made."""
    return require("matplotlib", extra="plots").rc_context(theme.settings)


def as_png(drawn: Any, *, dots: int = 150) -> bytes:
    """Return a figure as PNG, with `dots` an inch."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=dots, metadata={"Software": None})
    return buffer.getvalue()
