"""A modality of the demo: frozen data, from which the engine does the whole job."""

from dataclasses import dataclass

from anylens.demo.shown.shown import Shown
from anylens.tasks.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Words:
    """What the page says of a modality, where the engine cannot know it.

    Attributes:
        lead: what the model does and of what world, a sentence or two.
        place: the point in words: "what leaves the second layer".
        row: what one row of activations is of: "a frame of 20 ms".
        samples: what the inputs are, in the plural: "sounds".
        truth: where the truth of a row comes from.
        judge: who says what an output shows.
        pushed: where a feature is added: "at every patch".
        answers: what is counted after steering: "transcripts".
    """

    lead: str
    place: str
    row: str
    samples: str
    truth: str
    judge: str
    pushed: str
    answers: str


@dataclass(frozen=True, kw_only=True)
class Modality:
    """One demo.

    Attributes:
        name: as `anylens demo NAME` takes it.
        title: of the page.
        recipe: the model, the point, the autoencoder, how it is trained and judged.
        shown: how inputs and outputs look.
        towards: the factor and the value that is steered towards before one's eyes; all are counted.
        words: what the page says.
        examples: inputs that are steered before one's eyes.
        more: a module with further sections of the page, `sections(lens, task, say=, tick=)`, if there are.
    """

    name: str
    title: str
    recipe: Recipe
    shown: Shown
    towards: tuple[str, str]
    words: Words
    examples: int = 6
    more: str | None = None
