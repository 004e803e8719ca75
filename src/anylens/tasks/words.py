"""Language models of the grammar: the verb that they expect next is the judge."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from anylens.tasks.inputs import Given
from anylens.tasks.task import Factors, Task
from anylens.zoo.feeding import Samples
from anylens.zoo.worlds.grammar import FACTORS, WORD_FACTORS, GrammarBatch, sample
from anylens.zoo.worlds.lexicon import BEGIN, VOCABULARY, WORDS

NAMED = ("number", "tense", "topic")
LIKELY = 0.5  # a verb must be expected at least so much for a verdict
FIRST_WORDS = (2, 3, 4, 5)  # words of the beginnings that are steered


class Words(Task):
    """Goes on with sentences."""

    values: ClassVar[Mapping[str, tuple[str, ...]]] = {**WORD_FACTORS, **FACTORS}

    def added(self, samples: Samples, number: int, given: Given) -> Given:
        """Return the sentences as what is to be predicted."""
        return {"labels": given["input_ids"].masked_fill(given["attention_mask"] == 0, -100)}

    def truth(self, inputs: Any, number: int) -> Factors:
        """Return the role of each token's word and, of the word that comes next, what the words so far have settled:
        number, tense and topic of a verb, gender of a pronoun.
        """
        batch = inputs.truth(number)
        shown, settled = batch.positions(), batch.settled() | {"number": _number_of_verbs(batch)}
        coming = shown["role"].roll(-1, 1)
        verb, *pronouns = (
            coming == self.values["role"].index(one) for one in ("verb", "pronoun", "reflexive")
        )
        gender = shown["gender"].roll(-1, 1).where(pronouns[0] | pronouns[1], -1)
        return {
            "role": shown["role"],
            **{name: settled[name].where(verb, -1) for name in NAMED},
            "gender": gender,
        }

    def trials(self, samples: int, *, seed: int) -> Any:
        """Return beginnings of sentences after which a verb comes, those of one length together."""
        found: dict[int, list[list[int]]] = {length: [] for length in FIRST_WORDS}
        for sentence in sample(16 * samples, seed=seed, split="held_out").sentences:
            place = next(n for n, word in enumerate(sentence.words) if WORDS[word].role == "verb")
            if place in found and len(found[place]) < samples // len(FIRST_WORDS):
                found[place].append([VOCABULARY.index(word) for word in (BEGIN, *sentence.words[:place])])
        return [{"input_ids": torch.tensor(rows)} for rows in found.values() if rows]

    @torch.no_grad()
    def shown(self, given: Any) -> Factors:
        """Return number, tense and topic of the verbs that are likeliest next, by the sum over verbs of each value."""
        chances = self.net(**given).logits[:, -1].softmax(-1)
        verbs = torch.tensor([text in WORDS and WORDS[text].role == "verb" for text in VOCABULARY])
        expected = chances[:, verbs].sum(-1) > LIKELY
        return {name: self._likeliest(name, chances * verbs).where(expected, -1) for name in NAMED}

    def _likeliest(self, factor: str, chances: Tensor) -> Tensor:
        values = self.values[factor]
        shows = torch.tensor(
            [
                [text in WORDS and getattr(WORDS[text], factor) == value for text in VOCABULARY]
                for value in values
            ]
        )
        found = chances @ shows.float().T
        return found.argmax(-1).where(found.sum(-1) > LIKELY / 2, -1)

    def loss(self, output: Any, given: Any) -> Tensor:
        loss: Tensor = output.loss
        return loss


def _number_of_verbs(batch: GrammarBatch) -> Tensor:
    """Return what the words up to each token have settled of the number of the verb that comes: that of the sentence's
    subject, or of the person who acts in a clause with "that".
    """
    found = torch.full(tuple(batch.input_ids.shape), -1)
    for row, sentence in enumerate(batch.sentences):
        for place, step in enumerate(sentence.steps):
            inner = step.state.place.startswith("that.verb")
            number = step.state.other_number if inner else step.state.number
            found[row, place + 1] = -1 if number is None else FACTORS["number"].index(number)
    return found
