"""Any input: its positions as a row of bars, for want of anything better."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from anylens.core.markup import Html, tag
from anylens.features.kinds.kind import Address, Behind, Kind, Mark, Scene, View, told


@dataclass(frozen=True)
class Positions(Kind):
    """Inputs of which nothing is known: bars, one a position."""

    @classmethod
    def of(cls, scene: Scene) -> Self:
        """Fit always."""
        return cls()

    def view(self, given: Mapping[str, Any], output: Any, row: int, behind: Behind) -> View:
        """Show nothing of the input itself."""
        return View()

    def html(self, view: View, marks: Sequence[Mark], address: Address) -> Html:
        """Return a bar for each position that is marked, at its place in the row."""
        count = max((mark.index for mark in marks), default=0) + 1
        drawn = [
            tag("rect", class_="al-bar", x=mark.index, y=0, width=0.9, height=1, **mark.shown)
            for mark in marks
        ]
        plot = tag("svg", *drawn, viewBox=f"0 0 {count} 1", preserveAspectRatio="none", class_="al-bars")
        note = tag("p", told(marks), class_="al-note", data_told=True)
        return tag("div", plot, note, class_="al-positions", role="img", aria_label=f"{count} positions")
