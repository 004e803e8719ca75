"""What a demo found: all that its page shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anylens.core.markup import Html
from anylens.demo.modality import Modality
from anylens.features import Survey
from anylens.lens import Lens
from anylens.sae.base import Sae
from anylens.sae.metrics import Quality
from anylens.sae.truth import Found
from anylens.tasks.steering import Success
from anylens.tasks.task import Task


@dataclass(frozen=True)
class Trained:
    """A trained autoencoder, and how it came to be.

    Attributes:
        sae: the autoencoder.
        curve: steps of the training, each with the share of the variance that was not explained.
        seconds: of harvest and training.
    """

    sae: Sae
    curve: tuple[tuple[int, float], ...]
    seconds: float


@dataclass(frozen=True)
class Trial:
    """An input with what the model made of it: as it is, pushed along the feature, and along a random one."""

    given: Html
    before: Html
    after: Html
    random: Html


@dataclass(frozen=True)
class Further:
    """More sections of a page.

    Attributes:
        html: the sections.
        titles: of each, its anchor, and what was found in it: a title and a sentence.
        files: that lie beside the page.
        numbers: all that was measured.
    """

    html: Html
    titles: Sequence[tuple[str, tuple[str, str]]]
    files: dict[str, bytes]
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Story:
    """What a demo found.

    Attributes:
        modality: what was to be done.
        lens, task: the model, and its task.
        trained: the autoencoder.
        quality: how well it rebuilds held-out rows.
        found: for every value of the factors, the feature that finds it best.
        survey: what is known of every feature.
        steered: for every value that was steered towards, what became of held-out outputs.
        pushed: the one of these that is shown.
        other: the random feature beside it.
        trials: shown before and after.
        further: sections of the modality's own.
        seconds: that it all took.
    """

    modality: Modality
    lens: Lens
    task: Task
    trained: Trained
    quality: Quality
    found: Sequence[Found]
    survey: Survey
    steered: Sequence[Success]
    pushed: Success
    other: int
    trials: Sequence[Trial]
    further: Further | None
    seconds: float

    def value(self, one: Found | Success) -> str:
        """Return what a value is called."""
        return self.task.values[one.factor][one.value]
