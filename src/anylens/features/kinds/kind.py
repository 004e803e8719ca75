"""A kind of input: how it is shown, and how a feature is shown on it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from torch import Tensor

from anylens.core.markup import Html
from anylens.families.layouts import Layout, Place
from anylens.features.media import Media
from anylens.lens import Lens

Address = Callable[[str], str]  # the name of a sample's media -> where a page finds it


@dataclass(frozen=True)
class Behind:
    """What is behind an input besides what the model takes.

    Attributes:
        names: what each sample is called: a file's name, a caption.
        sound: `[sample, time]`, where the model takes something made of it.
        rate: samples of the sound in a second.
    """

    names: Sequence[str] = ()
    sound: Tensor | None = None
    rate: int = 16_000


@dataclass(frozen=True)
class Scene:
    """What a kind is chosen by: a lens, a point, the first input with what is behind it, and the point's layout."""

    lens: Lens
    point: str
    given: Mapping[str, Any]
    behind: Behind
    layout: Layout | None


@dataclass(frozen=True)
class View:
    """One sample as it is shown: its media by name, its words one a position, its length in seconds."""

    media: Mapping[str, Media] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    seconds: float = 0.0
    outline: tuple[float, ...] = ()  # of a sound: its loudest value in each of equally long parts, 0..1


@dataclass(frozen=True)
class Mark:
    """A position that is marked on a sample.

    Attributes:
        index: the number of the position among the sample's rows.
        place: where the position lies in the input.
        value: how strongly, from 0 to 1 of the scale.
        tip: the value in words.
        step: the step of the run.
    """

    index: int
    place: Place
    value: float = 0.0
    tip: str = ""
    step: int = 0

    @property
    def shown(self) -> dict[str, Any]:
        """What the element of a mark carries: the number of its position, and its value if that is above 0."""
        style = f"--v:{self.value:.3f}" if self.value > 0 else None
        return {"data_p": self.index, "style": style}


def strongest(marks: Iterable[Mark]) -> Mark | None:
    """Return the mark of the largest value above 0."""
    best = max(marks, key=lambda mark: mark.value, default=None)
    return best if best is not None and best.value > 0 else None


def said(place: Place) -> str:
    """Say where a place is: in seconds where it is one of sound, else as its layout calls it."""
    if place.seconds is None:
        return place.label
    return f"{max(place.seconds[0], 0):.2f} to {place.seconds[1]:.2f} s"


def told(marks: Iterable[Mark]) -> str:
    """Say where the strongest mark is."""
    best = strongest(marks)
    return f"strongest at {said(best.place)}" if best else ""


class Kind(ABC):
    """How inputs of one kind are shown. A subclass is a frozen dataclass in a file of its own.

    `needs_output` says that what is shown is what the model made, so that runs go on to their end.
    """

    needs_output: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def of(cls, scene: Scene) -> Self | None:
        """Return the kind for such inputs, or None where they are of another kind."""

    @abstractmethod
    def view(self, given: Mapping[str, Any], output: Any, row: int, behind: Behind) -> View:
        """Return one sample of an input as it is shown."""

    @abstractmethod
    def html(self, view: View, marks: Sequence[Mark], address: Address) -> Html:
        """Return a sample with marks on it.

        Each mark has an element with its number as `data-p`, whose look follows from its value, the CSS variable `--v`;
        so that a page can draw a sample once, without values, and set them for each feature.
        """
