"""Scores language models of the grammar: how near they come to its entropy, and whether their verbs agree."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from anylens.zoo.worlds.grammar import GrammarBatch, Sentence, entropy, sample
from anylens.zoo.worlds.lexicon import VERBS, VOCABULARY, WORDS

BATCH = 256

OTHER_NUMBER = {
    form: other
    for verbs in VERBS.values()
    for singular, plural, _ in verbs
    for form, other in ((singular, plural), (plural, singular))
}
"""For each form of a verb in the present, the form of the other number."""

_NUMBERS = {text: index for index, text in enumerate(VOCABULARY)}


def measure(model: Any, *, samples: int, seed: int) -> dict[str, Any]:
    """Loss and agreement over held-out sentences.

    loss: nats per word, the full stop counted. floor: what the same words cost one who knows the grammar. excess: the
    difference. entropy: the grammar's own, over all sentences. agreement: how often, where a verb in the present comes
    next, the form that agrees with its subject is likelier than the other one, 0..1. agreement_across: the same where
    the nearest noun before the verb has the other number.
    """
    batch = sample(samples, seed=seed, split="held_out")
    scores, mask = _log_probabilities(model, batch), batch.mask[:, 1:]
    loss = -scores.gather(2, batch.input_ids[:, 1:, None])[..., 0][mask].mean().item()
    floor = (batch.surprises.sum() / mask.sum()).item()
    right, across = _agreement(scores, batch)
    return {
        "loss": loss,
        "floor": floor,
        "excess": loss - floor,
        "entropy": entropy(),
        "agreement": right.mean().item(),
        "agreement_across": right[across].mean().item(),
    }


@torch.no_grad()
def _log_probabilities(model: Any, batch: GrammarBatch) -> Tensor:
    """Log-probability of each token for each place behind the first: [n, tokens - 1, vocabulary]."""
    found = [model(input_ids=part).logits[:, :-1] for part in batch.input_ids.split(BATCH)]
    return torch.cat(found).log_softmax(-1)


def _agreement(scores: Tensor, batch: GrammarBatch) -> tuple[Tensor, Tensor]:
    """For each verb in the present: whether it agrees, float64, and whether the nearest noun misleads, bool."""
    right, across = [], []
    for row, sentence in enumerate(batch.sentences):
        for place, word in enumerate(sentence.words):
            if word in OTHER_NUMBER:
                score = scores[row, place]
                right.append(score[_NUMBERS[word]] > score[_NUMBERS[OTHER_NUMBER[word]]])
                across.append(_nearest_noun(sentence, place) != WORDS[word].number)
    return torch.tensor(right, dtype=torch.float64), torch.tensor(across, dtype=torch.bool)


def _nearest_noun(sentence: Sentence, place: int) -> str | None:
    """The number of the last noun before a place."""
    nouns = (WORDS[word] for word in reversed(sentence.words[:place]))
    return next((word.number for word in nouns if word.role in ("person", "thing")), None)
