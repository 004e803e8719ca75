"""The measure of grammar models gives known scores to models whose scores are known."""

from types import SimpleNamespace

import pytest
import torch

from anylens.zoo.measure.grammar_words import measure
from anylens.zoo.worlds.grammar import continuations, entropy
from anylens.zoo.worlds.lexicon import PAD, VERBS, VOCABULARY

SWAPPED = {form: other for verbs in VERBS.values() for s, p, _ in verbs for form, other in [(s, p), (p, s)]}


def model_of(name_of):
    """Knows the grammar, and gives each word's probability to the word that `name_of` makes of it."""

    def forward(input_ids):
        logits = torch.full((*input_ids.shape, len(VOCABULARY)), -30.0)
        for row, tokens in enumerate(input_ids.tolist()):
            words = [VOCABULARY[token] for token in tokens if VOCABULARY[token] != PAD]
            for place in range(len(words)):
                for word, probability in continuations(words[1 : place + 1]).items():
                    logits[row, place, VOCABULARY.index(name_of(word))] = torch.tensor(probability).log()
        return SimpleNamespace(logits=logits)

    return forward


def test_one_who_knows_the_grammar_has_no_excess():
    scores = measure(model_of(lambda word: word), samples=64, seed=0)
    assert scores["excess"] == pytest.approx(0, abs=1e-5)
    assert scores["loss"] == pytest.approx(scores["floor"])
    assert scores["floor"] == pytest.approx(entropy(), abs=0.1)
    assert scores["agreement"] == scores["agreement_across"] == 1


def test_one_who_always_takes_the_other_number_never_agrees():
    scores = measure(model_of(lambda word: SWAPPED.get(word, word)), samples=64, seed=0)
    assert scores["agreement"] == scores["agreement_across"] == 0
    assert scores["excess"] > 0.5


def test_one_who_knows_nothing_pays_for_every_word_alike():
    scores = measure(
        lambda input_ids: SimpleNamespace(logits=torch.zeros(*input_ids.shape, len(VOCABULARY))),
        samples=8,
        seed=0,
    )
    assert scores["loss"] == pytest.approx(torch.tensor(len(VOCABULARY)).log().item())
    assert scores["agreement"] == 0
