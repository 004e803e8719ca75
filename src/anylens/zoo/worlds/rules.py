"""The rules of the grammar world: which word may come next, how likely, and what it settles.

The grammar is an automaton that its words drive: a state and a word lead to one next state. So what may follow any
prefix is known exactly, with its probability; no sentence has two derivations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from anylens.zoo.worlds import lexicon
from anylens.zoo.worlds.lexicon import Word

ADJECTIVE, ADVERB, TIME, SECOND_CLAUSE, REFLEXIVE = 0.3, 0.2, 0.4, 0.5, 0.2
AFTER_SUBJECT = {"who": 0.2, "that": 0.2, "near": 0.1, "behind": 0.1}
"""Probabilities of what is optional; what hangs on the subject is none of these otherwise."""


@dataclass(frozen=True, kw_only=True)
class State:
    """Where in a sentence one is, and what its words so far have settled; None stands for what they have not.

    place: the rule that gives the next word. number, gender: the subject's. tense, topic: the sentence's.
    other_number: that of the noun phrase under way where it is not the subject's.
    """

    place: str = "begin"
    number: str | None = None
    gender: str | None = None
    tense: str | None = None
    topic: str | None = None
    other_number: str | None = None
    clause: int = 1


@dataclass(frozen=True)
class Choice:
    """A word that may come next, how likely it is, and the state that it leads to."""

    word: str
    probability: float
    state: State


@cache
def choices(state: State) -> tuple[Choice, ...]:
    """What may come next; the probabilities sum to 1, and there is nothing after the end."""
    return tuple(_RULES[state.place](state)) if state.place in _RULES else ()


# -- the rules, in a sentence's order; each returns choices whose probabilities sum to 1 -------------------------


def _begin(state: State) -> list[Choice]:
    times = _even([(text, replace(state, place="subject", tense=of)) for text, of in lexicon.TIMES.items()])
    return _either(TIME, times, _phrase(replace(state, place="subject")))


def _phrase(state: State) -> list[Choice]:
    """The determiner of a noun phrase: "the" half the time, which asks for no number."""
    found = []
    for text, number in lexicon.DETERMINERS.items():
        probability = 0.5 if number is None else 0.5 / (len(lexicon.DETERMINERS) - 1)
        found.append(Choice(text, probability, replace(_numbered(state, number), place=f"{state.place}.adj")))
    return found


def _adjective(state: State) -> list[Choice]:
    after = replace(state, place=state.place.replace(".adj", ".noun"))
    return _either(ADJECTIVE, _even([(text, after) for text in lexicon.ADJECTIVES]), list(choices(after)))


def _subject_noun(state: State) -> list[Choice]:
    found = [
        (word.text, replace(state, place="link", number=word.number, gender=word.gender, topic=word.topic))
        for word in _words("person", number=state.number)
    ]
    return _even(found)


def _link(state: State) -> list[Choice]:
    """What hangs on the subject: a clause, a place, or nothing."""
    places = {"who": "inner.verb", "that": "inner.subject", "near": "place", "behind": "place"}
    found = [
        Choice(text, probability, replace(state, place=places[text]))
        for text, probability in AFTER_SUBJECT.items()
    ]
    return found + _scaled(1 - sum(AFTER_SUBJECT.values()), choices(replace(state, place="adverb")))


def _who_verb(state: State) -> list[Choice]:
    return _verb(state, number=state.number, then="inner.object")


def _other_noun(state: State) -> list[Choice]:
    """A person who is not the subject; one that acts is followed by its verb."""
    acts = state.place == "inner.subject.noun"
    found = []
    for word in _words("person", number=state.other_number, topic=state.topic):
        after = replace(state, place="that.verb", other_number=word.number)
        found.append((word.text, after if acts else replace(state, place="adverb", other_number=None)))
    return _even(found)


def _that_verb(state: State) -> list[Choice]:
    return _verb(replace(state, other_number=None), number=state.other_number, then="adverb")


def _adverb(state: State) -> list[Choice]:
    after = replace(state, place="verb")
    return _either(ADVERB, _even([(text, after) for text in lexicon.ADVERBS]), list(choices(after)))


def _main_verb(state: State) -> list[Choice]:
    return _verb(state, number=state.number, then="object")


def _object(state: State) -> list[Choice]:
    after = replace(state, place="finish")
    reflexive = _standing_for(state, lexicon.REFLEXIVES, after)
    return _either(REFLEXIVE, [reflexive], _phrase(replace(state, place="thing")))


def _thing(state: State) -> list[Choice]:
    after = replace(state, place="finish", other_number=None)
    things = _words("thing", number=state.other_number, topic=state.topic)
    return _even([(word.text, after) for word in things])


def _finish(state: State) -> list[Choice]:
    end = Choice(lexicon.END, 1.0, replace(state, place="end"))
    if state.clause == 2:
        return [end]
    after = replace(state, place="pronoun", clause=2)
    return _either(SECOND_CLAUSE, _even([(text, after) for text in lexicon.CONJUNCTIONS]), [end])


def _pronoun(state: State) -> list[Choice]:
    return [_standing_for(state, lexicon.PRONOUNS, replace(state, place="verb"))]


_RULES = {
    "begin": _begin,
    "subject": _phrase,
    "subject.adj": _adjective,
    "subject.noun": _subject_noun,
    "link": _link,
    "inner.verb": _who_verb,
    "inner.object": _phrase,
    "inner.object.adj": _adjective,
    "inner.object.noun": _other_noun,
    "inner.subject": _phrase,
    "inner.subject.adj": _adjective,
    "inner.subject.noun": _other_noun,
    "that.verb": _that_verb,
    "place": _phrase,
    "place.adj": _adjective,
    "place.noun": _other_noun,
    "adverb": _adverb,
    "verb": _main_verb,
    "object": _object,
    "thing": _phrase,
    "thing.adj": _adjective,
    "thing.noun": _thing,
    "finish": _finish,
    "pronoun": _pronoun,
}


# -- parts of rules ----------------------------------------------------------------------------------------------


def _verb(state: State, *, number: str | None, then: str) -> list[Choice]:
    """A verb of the topic that agrees with a subject of this number; without a tense yet, either tense."""
    tenses = lexicon.TENSES if state.tense is None else (state.tense,)
    return _even(
        [
            (word.text, replace(state, place=then, tense=tense))
            for tense in tenses
            for word in _words("verb", number=number, tense=tense, topic=state.topic)
        ]
    )


def _standing_for(state: State, table: dict[tuple[str, str | None], str], after: State) -> Choice:
    """The one word of the table that stands for the subject."""
    assert state.number is not None
    gender = state.gender if state.number == "singular" else None
    return Choice(table[state.number, gender], 1.0, after)


def _numbered(state: State, number: str | None) -> State:
    if state.place == "subject":
        return replace(state, number=number)
    return replace(state, other_number=number)


@cache
def _words(
    role: str, *, number: str | None = None, tense: str | None = None, topic: str | None = None
) -> tuple[Word, ...]:
    """The words of a role that do not contradict what is asked."""
    asked = {"number": number, "tense": tense, "topic": topic}
    return tuple(
        word
        for word in lexicon.WORDS.values()
        if word.role == role
        and all(value is None or getattr(word, name) in (value, None) for name, value in asked.items())
    )


def _even(options: list[tuple[str, State]]) -> list[Choice]:
    return [Choice(text, 1 / len(options), state) for text, state in options]


def _scaled(probability: float, options: tuple[Choice, ...] | list[Choice]) -> list[Choice]:
    return [replace(option, probability=probability * option.probability) for option in options]


def _either(probability: float, first: list[Choice], second: list[Choice]) -> list[Choice]:
    return _scaled(probability, first) + _scaled(1 - probability, second)
