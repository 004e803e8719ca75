"""The grammar world knows its sentences: what they hold, how probable they are, and what may come next."""

import itertools
import math
from collections import Counter

import pytest
import torch

from anylens.core.errors import ZooError
from anylens.zoo.worlds.grammar import (
    FACTORS,
    LONGEST,
    WORD_FACTORS,
    GrammarBatch,
    Sentence,
    continuations,
    entropy,
    mean_length,
    sample,
)
from anylens.zoo.worlds.lexicon import BEGIN, PAD, VOCABULARY, WORDS
from anylens.zoo.worlds.rules import State, choices
from anylens.zoo.worlds.sampling import ABSENT, SPLITS

WHOLE = Sentence.of("today the old queen that these kings betray claims the crown and she praises herself .")


@pytest.fixture(scope="module")
def many():
    return sample(2000, seed=1)


@pytest.fixture(scope="module")
def states():
    """Every state of the grammar."""
    found, waiting = set(), [State()]
    while waiting:
        state = waiting.pop()
        if state not in found:
            found.add(state)
            waiting += [option.state for option in choices(state)]
    return found


def test_the_same_seed_gives_the_same_sentences():
    assert sample(30, seed=3).texts == sample(30, seed=3).texts
    assert sample(30, seed=3).texts[:5] == sample(5, seed=3).texts


def test_splits_share_no_sentence_and_seeds_differ():
    texts = {split: set(sample(1500, seed=0, split=split).texts) for split in SPLITS}
    assert texts["train"].isdisjoint(texts["held_out"])
    assert all(Sentence.of(text).split == split for split in SPLITS for text in texts[split])
    assert sample(30, seed=0).texts != sample(30, seed=1).texts


def test_probabilities_sum_to_one_and_each_word_leads_to_one_state(states):
    for state in states:
        options = choices(state)
        assert len({option.word for option in options}) == len(options)
        if state.place != "end":
            assert sum(option.probability for option in options) == pytest.approx(1)
    assert {option.word for state in states for option in choices(state)} == set(WORDS)


def test_a_word_stands_for_one_thing_only():
    assert len(set(VOCABULARY)) == len(VOCABULARY)


def test_the_entropy_is_the_mean_surprise_of_samples(many):
    surprises = many.surprises.sum(1)
    words = many.lengths - 1
    error = surprises.std() / math.sqrt(len(surprises)) / mean_length()
    assert abs(surprises.sum() / words.sum() - entropy()) < 4 * error
    assert words.double().mean().item() == pytest.approx(mean_length(), rel=0.02)
    assert words.max() <= LONGEST


def test_both_splits_are_as_surprising(many):
    held_out = sample(2000, seed=1, split="held_out")
    means = [one.surprises.sum() / (one.lengths - 1).sum() for one in (many, held_out)]
    assert means[0] == pytest.approx(means[1].item(), abs=0.03)


def test_words_follow_as_often_as_continuations_say():
    prefix = ["the"]
    told = continuations(prefix)
    after = Counter(one.words[1] for one in sample(5000, seed=2).sentences if one.words[:1] == tuple(prefix))
    total = sum(after.values())
    for word, probability in told.items():
        error = math.sqrt(probability * (1 - probability) / total)
        assert abs(after[word] / total - probability) < 5 * error
    assert set(after) <= set(told)


def test_continuations_are_what_the_prefix_allows():
    assert continuations("the king near the queens often".split()) == pytest.approx(
        dict.fromkeys(["praises", "claims", "betrays", "praised", "claimed", "betrayed"], 1 / 6)
    )
    assert continuations("now some ewes kick".split())["themselves"] == pytest.approx(0.2)
    assert continuations(WHOLE.words) == {}
    assert sum(continuations([]).values()) == pytest.approx(1)


def test_verbs_agree_with_their_subjects_by_the_words_alone(many):
    """Found from the words without the grammar's states: the verb's number is that of its clause's subject."""
    seen = Counter()
    for sentence in many.sentences:
        for place, text in enumerate(sentence.words):
            verb = WORDS[text]
            if verb.role != "verb" or verb.tense != "present":
                continue
            before = [WORDS[word] for word in sentence.words[:place]]
            people = [word for word in before if word.role in ("person", "pronoun")]
            inner = next((i for i, word in enumerate(before) if word.text == "that"), None)
            main = inner is None or any(word.role == "verb" for word in before[inner:])
            subject = people[-1] if people[-1].role == "pronoun" or not main else people[0]
            assert verb.number == subject.number, sentence.text
            seen[main] += 1
    assert seen[True] > 500
    assert seen[False] > 50


def test_pronouns_reflexives_tense_and_topic_agree(many):
    for sentence in many.sentences:
        words = [WORDS[text] for text in sentence.words]
        subject = next(word for word in words if word.role == "person")
        for word in words:
            if word.role in ("pronoun", "reflexive"):
                assert word.number == subject.number
                assert word.gender in (subject.gender if subject.number == "singular" else None,)
        assert len({word.tense for word in words if word.tense}) == 1
        assert len({word.topic for word in words if word.topic}) == 1


def test_factors_name_the_sentences_values(many):
    few = GrammarBatch(many.sentences[:200])
    for factor, numbers in few.factors.items():
        assert numbers.shape == (200,)
        named = [FACTORS[factor][number] for number in numbers.tolist()]
        assert named == [one.value(factor) for one in few.sentences]
    for row, sentence in enumerate(few.sentences):
        subject = next(WORDS[text] for text in sentence.words if WORDS[text].role == "person")
        assert FACTORS["number"][few.factors["number"][row]] == subject.number
        assert FACTORS["gender"][few.factors["gender"][row]] == subject.gender
        assert FACTORS["topic"][few.factors["topic"][row]] == subject.topic


def test_all_values_of_all_factors_occur(many):
    for factor, numbers in many.factors.items():
        assert torch.bincount(numbers, minlength=len(FACTORS[factor])).min() > 80


def test_positions_say_what_each_word_shows():
    found = GrammarBatch((WHOLE,)).positions()
    named = {
        factor: [None if value == ABSENT else WORD_FACTORS[factor][value] for value in values[0].tolist()]
        for factor, values in found.items()
    }
    assert named["role"][:6] == [None, "time", "determiner", "adjective", "person", "relative"]
    assert named["number"][4:10] == ["singular", None, "plural", "plural", "plural", "singular"]
    assert [value for value in named["gender"] if value] == ["feminine", "masculine", "feminine", "feminine"]
    assert named["tense"].count("present") == 4
    assert set(named["topic"]) == {None, "court"}


def test_settled_is_absent_until_a_word_settles_it():
    settled = GrammarBatch((WHOLE,)).settled()
    number, tense = settled["number"][0].tolist(), settled["tense"][0].tolist()
    singular = FACTORS["number"].index("singular")
    assert number == [ABSENT] * 4 + [singular] * (len(WHOLE.words) - 3)
    assert tense == [ABSENT] + [FACTORS["tense"].index("present")] * len(WHOLE.words)


def test_tokens_are_numbers_of_the_vocabulary_behind_a_beginning():
    batch = GrammarBatch((WHOLE, Sentence.of("this ram kicked himself .")))
    rows = [[VOCABULARY[token] for token in row] for row in batch.input_ids.tolist()]
    assert rows[0] == [BEGIN, *WHOLE.words]
    assert rows[1][6:] == [PAD] * (len(WHOLE.words) - 5)
    assert batch.mask.sum(1).tolist() == batch.lengths.tolist() == [17, 6]
    assert batch.surprises[1, 6:].sum() == 0
    assert batch.surprises[0].sum().item() == pytest.approx(sum(WHOLE.surprises))


def test_an_empty_sample_is_empty_everywhere():
    batch = sample(0, seed=0)
    assert batch.input_ids.shape == batch.surprises.shape == (0, 0)
    assert batch.factors["topic"].shape == (0,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("the king praise the crown .", "no sentence goes on with 'praise' here"),
        ("the king near", "is not finished"),
        ("", "is not finished"),
        ("the cow kicks the crown .", "goes on with 'crown'"),
    ],
)
def test_what_is_no_sentence_is_refused(text, message):
    with pytest.raises(ZooError, match=message):
        Sentence.of(text)


def test_unknown_splits_and_counts_are_refused():
    with pytest.raises(ZooError, match="no split is called 'test'; choose from train, held_out"):
        sample(1, seed=0, split="test")
    with pytest.raises(ZooError, match="n is -1"):
        sample(-1, seed=0)


def test_a_flipped_number_changes_verb_and_pronoun_only():
    pair = [
        Sentence.of(f"the {noun} that these kings betray {verb} the crown and {pronoun} {again} the throne .")
        for noun, verb, pronoun, again in [
            ("queen", "claims", "she", "praises"),
            ("queens", "claim", "they", "praise"),
        ]
    ]
    assert pair[0].surprises == pytest.approx(pair[1].surprises)
    factors = GrammarBatch(tuple(pair)).factors
    differing = {factor for factor, (one, other) in factors.items() if one != other}
    assert differing == {"number"}
    assert (
        list(itertools.starmap(str.__eq__, zip(pair[0].words, pair[1].words, strict=True))).count(False) == 4
    )
