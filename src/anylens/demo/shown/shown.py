"""How what goes into a model, and what comes out, looks on the demo's page."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from anylens.core.markup import Html, tag
from anylens.features.kinds import Behind, View
from anylens.features.kinds.kind import Address
from anylens.tasks.task import Task

Given = Mapping[str, Any]
Bars = Sequence[tuple[str, float]]
LISTED = 3  # answers with their chances


class Shown(ABC):
    """A kind of input with a kind of output. A subclass is a frozen dataclass in a file of its own.

    `into` and `out` say what they are, as heads of columns.
    """

    into: ClassVar[str]
    out: ClassVar[str]

    @abstractmethod
    def given(self, task: Task, given: Given, behind: Behind) -> list[Html]:
        """Return what went in, one for each sample."""

    @abstractmethod
    def made(self, task: Task, given: Given) -> list[Html]:
        """Run the model, with the hooks that are on, and return what came out, one for each sample."""


def bars(listed: Bars, *, mark: str = "") -> Html:
    """Return answers with their chances as bars, those that hold `mark` in colour."""
    rows = [
        tag(
            "li",
            tag("i", style=f"--w:{chance:.3f}"),
            tag("span", answer),
            tag("small", f"{chance:.0%}"),
            class_="hit" if mark and mark in answer.split() else None,
        )
        for answer, chance in listed
    ]
    return tag("ol", *rows, class_="answers")


def address_in(view: View) -> Address:
    """Return what finds a view's media: in the page itself."""
    return lambda name: view.media[name].address if name in view.media else ""
