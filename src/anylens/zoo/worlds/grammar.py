"""The world of a small grammar: English sentences whose every factor and every probability is known.

    batch = sample(4, seed=0)
    batch.texts[0]      # "the quiet dukes that this queen praised often claimed some crowns ."
    entropy()           # the least loss, in nats per token, that any model can reach on it
    continuations(["the", "kings", "near", "the", "queen"])     # every next word with its probability

The subject's number returns in its verb across a clause that may hold another noun; its gender in a pronoun; tense
holds for all verbs of a sentence; topic chooses nouns and verbs. Whether a sentence is of "train" or "held_out" is
settled by a hash of its words, so no sentence is in both.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

from anylens.core.errors import ZooError
from anylens.zoo.worlds.lexicon import (
    BEGIN,
    GENDERS,
    NUMBERS,
    PAD,
    ROLES,
    TENSES,
    TOPICS,
    VOCABULARY,
    WORDS,
)
from anylens.zoo.worlds.rules import Choice, State, choices
from anylens.zoo.worlds.sampling import ABSENT, SPLITS, generator

LINKS = ("none", "who", "that", "near", "behind")

FACTORS: dict[str, tuple[str, ...]] = {
    "number": NUMBERS,
    "gender": GENDERS,
    "tense": TENSES,
    "topic": TOPICS,
    "link": LINKS,
}
"""Each factor of a sentence, with its values in the order of their numbers; number and gender are the subject's."""

WORD_FACTORS: dict[str, tuple[str, ...]] = {
    "role": ROLES,
    "number": NUMBERS,
    "gender": GENDERS,
    "tense": TENSES,
    "topic": TOPICS,
}
"""Each factor that the form of a single word shows."""

LONGEST = 24
"""No sentence has more words."""

HELD_OUT = 8
"""One sentence in this many is held out."""

_NUMBERS = {text: index for index, text in enumerate(VOCABULARY)}


@dataclass(frozen=True)
class Sentence:
    """A sentence of the grammar, by its words; raises ZooError for words that are none."""

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.steps or self.steps[-1].state.place != "end":
            raise ZooError(f"{self.text!r} is not finished; a sentence ends with a full stop")

    @classmethod
    def of(cls, text: str) -> Sentence:
        """The sentence with this text, words and full stop apart by blanks."""
        return cls(tuple(text.split()))

    @property
    def text(self) -> str:
        """The words with blanks between."""
        return " ".join(self.words)

    @cached_property
    def steps(self) -> tuple[Choice, ...]:
        """The choice that each word was: its probability, and the state after it."""
        return tuple(_walk(self.words))

    @property
    def surprises(self) -> list[float]:
        """What each word costs a model that knows the grammar, in nats."""
        return [math.log(1 / step.probability) for step in self.steps]

    @property
    def split(self) -> str:
        """Whether the sentence is of "train" or "held_out"."""
        return _split_of(self.words)

    @property
    def link(self) -> str:
        """What hangs on the subject: the word that opens it, or "none"."""
        return next((word for word in self.words if word in LINKS), "none")

    def value(self, factor: str) -> str:
        """The sentence's value of a factor."""
        return self.link if factor == "link" else str(getattr(self.steps[-1].state, factor))


@dataclass(frozen=True)
class GrammarBatch:
    """Sentences with their truth. Tokens of a sentence are `<s>`, its words, and padding."""

    sentences: tuple[Sentence, ...]

    @property
    def texts(self) -> list[str]:
        """The sentences as text."""
        return [sentence.text for sentence in self.sentences]

    @property
    def lengths(self) -> Tensor:
        """Tokens of each sentence with `<s>`, without padding: [n], int64."""
        return torch.tensor([len(sentence.words) + 1 for sentence in self.sentences], dtype=torch.int64)

    @cached_property
    def input_ids(self) -> Tensor:
        """Token numbers: [n, tokens], int64, padded at the end."""
        found = torch.full(self._shape, _NUMBERS[PAD])
        for row, sentence in enumerate(self.sentences):
            tokens = [_NUMBERS[word] for word in (BEGIN, *sentence.words)]
            found[row, : len(tokens)] = torch.tensor(tokens)
        return found

    @property
    def mask(self) -> Tensor:
        """Which tokens are no padding: [n, tokens], bool."""
        return self.input_ids != _NUMBERS[PAD]

    @property
    def surprises(self) -> Tensor:
        """Nats that each token costs one who knows the grammar: [n, tokens]; 0 at `<s>` and padding."""
        found = torch.zeros(self._shape, dtype=torch.float64)
        for row, sentence in enumerate(self.sentences):
            found[row, 1 : len(sentence.words) + 1] = torch.tensor(sentence.surprises, dtype=torch.float64)
        return found

    @property
    def factors(self) -> dict[str, Tensor]:
        """Each factor's value for every sentence, [n], int64; `FACTORS` names the values."""
        return {
            factor: torch.tensor(
                [values.index(one.value(factor)) for one in self.sentences], dtype=torch.int64
            )
            for factor, values in FACTORS.items()
        }

    def positions(self) -> dict[str, Tensor]:
        """What each token's word shows: [n, tokens], int64; `WORD_FACTORS` names the values, ABSENT is none."""
        return {
            factor: self._table(
                [
                    [_index(values, getattr(WORDS[word], factor)) for word in one.words]
                    for one in self.sentences
                ]
            )
            for factor, values in WORD_FACTORS.items()
        }

    def settled(self) -> dict[str, Tensor]:
        """What the words up to each token have settled of the sentence: [n, tokens], int64, ABSENT until then.

        number and gender are the subject's, tense and topic the sentence's; `FACTORS` names the values.
        """
        return {
            factor: self._table(
                [
                    [_index(FACTORS[factor], getattr(step.state, factor)) for step in one.steps]
                    for one in self.sentences
                ]
            )
            for factor in ("number", "gender", "tense", "topic")
        }

    def _table(self, rows: list[list[int]]) -> Tensor:
        """Rows of values for words, behind `<s>` and before padding: [n, tokens]."""
        found = torch.full(self._shape, ABSENT)
        for row, values in enumerate(rows):
            found[row, 1 : len(values) + 1] = torch.tensor(values)
        return found

    @property
    def _shape(self) -> tuple[int, int]:
        return len(self.sentences), max((len(one.words) + 1 for one in self.sentences), default=0)


def sample(n: int, *, seed: int, split: str = "train") -> GrammarBatch:
    """Draw n sentences as probable as the grammar makes them; the same arguments give the same sentences."""
    numbers = generator(n, seed=seed, split=split)
    return GrammarBatch(tuple(_draw(numbers, split) for _ in range(n)))


def continuations(words: Sequence[str]) -> dict[str, float]:
    """Every word that may follow these, with its probability; none after a finished sentence.

    Raises ZooError for words that begin no sentence.
    """
    steps = list(_walk(words))
    return {option.word: option.probability for option in choices(steps[-1].state if steps else State())}


def entropy() -> float:
    """Nats per token of the grammar: the least loss that any model can reach on words and full stops."""
    nats, length = _expected(State())
    return nats / length


def mean_length() -> float:
    """The expected number of words of a sentence, the full stop counted."""
    return _expected(State())[1]


@cache
def _expected(state: State) -> tuple[float, float]:
    """Nats and words that are still to come from a state, in the mean."""
    nats = length = 0.0
    for option in choices(state):
        more_nats, more_words = _expected(option.state)
        nats += option.probability * (more_nats - math.log(option.probability))
        length += option.probability * (more_words + 1)
    return nats, length


def _draw(numbers: np.random.Generator, split: str) -> Sentence:
    """Draw until a sentence is of the split."""
    while True:
        words, state = [], State()
        for number in numbers.random(LONGEST).tolist():
            options, heights = _ladder(state)
            if not options:
                break
            option = options[min(bisect_right(heights, number), len(options) - 1)]
            words.append(option.word)
            state = option.state
        if _split_of(words) == split:
            return Sentence(tuple(words))


@cache
def _ladder(state: State) -> tuple[tuple[Choice, ...], list[float]]:
    options = choices(state)
    return options, list(itertools.accumulate(option.probability for option in options))


def _walk(words: Iterable[str]) -> Iterable[Choice]:
    state = State()
    for word in words:
        options = _by_word(state)
        if word not in options:
            near = ", ".join(list(options)[:6]) or "nothing"
            raise ZooError(
                f"no sentence goes on with {word!r} here ({' '.join(words)}); may follow: {near}, ..."
            )
        state = options[word].state
        yield options[word]


@cache
def _by_word(state: State) -> dict[str, Choice]:
    return {option.word: option for option in choices(state)}


def _split_of(words: Sequence[str]) -> str:
    digest = hashlib.blake2b(" ".join(words).encode(), digest_size=4).digest()
    return SPLITS[int.from_bytes(digest, "big") % HELD_OUT == 0]


def _index(values: tuple[str, ...], value: str | None) -> int:
    return ABSENT if value is None else values.index(value)
