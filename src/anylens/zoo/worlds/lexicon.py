"""The words of the grammar world, and what each shows of number, gender, tense and topic."""

from __future__ import annotations

from dataclasses import dataclass

BEGIN, PAD, UNKNOWN, END = "<s>", "<pad>", "<unk>", "."

NUMBERS = ("singular", "plural")
GENDERS = ("masculine", "feminine")
TENSES = ("present", "past")

PEOPLE: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "court": {
        "masculine": (("king", "kings"), ("prince", "princes"), ("duke", "dukes")),
        "feminine": (("queen", "queens"), ("princess", "princesses"), ("duchess", "duchesses")),
    },
    "home": {
        "masculine": (("father", "fathers"), ("brother", "brothers"), ("uncle", "uncles")),
        "feminine": (("mother", "mothers"), ("sister", "sisters"), ("aunt", "aunts")),
    },
    "farm": {
        "masculine": (("bull", "bulls"), ("ram", "rams"), ("rooster", "roosters")),
        "feminine": (("cow", "cows"), ("ewe", "ewes"), ("hen", "hens")),
    },
    "stage": {
        "masculine": (("actor", "actors"), ("hero", "heroes"), ("wizard", "wizards")),
        "feminine": (("actress", "actresses"), ("heroine", "heroines"), ("witch", "witches")),
    },
}
"""Nouns for who acts, by topic and gender: singular and plural."""

TOPICS = tuple(PEOPLE)

THINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "court": (("crown", "crowns"), ("sword", "swords"), ("throne", "thrones")),
    "home": (("table", "tables"), ("lamp", "lamps"), ("letter", "letters")),
    "farm": (("barn", "barns"), ("fence", "fences"), ("field", "fields")),
    "stage": (("curtain", "curtains"), ("mask", "masks"), ("script", "scripts")),
}
"""Nouns for what is acted on, by topic: singular and plural."""

VERBS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "court": (
        ("praises", "praise", "praised"),
        ("claims", "claim", "claimed"),
        ("betrays", "betray", "betrayed"),
    ),
    "home": (("paints", "paint", "painted"), ("helps", "help", "helped"), ("moves", "move", "moved")),
    "farm": (("kicks", "kick", "kicked"), ("follows", "follow", "followed"), ("guards", "guard", "guarded")),
    "stage": (("plays", "play", "played"), ("hides", "hide", "hid"), ("shows", "show", "showed")),
}
"""Verbs by topic: present with a singular subject, present with a plural one, past with either."""

DETERMINERS: dict[str, str | None] = {
    "the": None,
    "this": "singular",
    "every": "singular",
    "these": "plural",
    "some": "plural",
}
"""Determiners and the number that each asks for."""

TIMES = {"today": "present", "now": "present", "yesterday": "past", "once": "past"}
ADJECTIVES = ("old", "young", "proud", "quiet", "clever", "tired")
ADVERBS = ("often", "rarely")
PREPOSITIONS = ("near", "behind")
CONJUNCTIONS = ("and", "but")
PRONOUNS = {("singular", "masculine"): "he", ("singular", "feminine"): "she", ("plural", None): "they"}
REFLEXIVES = {
    ("singular", "masculine"): "himself",
    ("singular", "feminine"): "herself",
    ("plural", None): "themselves",
}

ROLES = (
    "time",
    "determiner",
    "adjective",
    "person",
    "relative",
    "preposition",
    "adverb",
    "verb",
    "thing",
    "reflexive",
    "conjunction",
    "pronoun",
    "end",
)
"""Parts of speech, as this grammar needs them."""


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word, its part of speech, and what its form alone shows."""

    text: str
    role: str
    number: str | None = None
    gender: str | None = None
    tense: str | None = None
    topic: str | None = None


def _people() -> list[Word]:
    return [
        Word(text=text, role="person", number=number, gender=gender, topic=topic)
        for topic, genders in PEOPLE.items()
        for gender, nouns in genders.items()
        for forms in nouns
        for number, text in zip(NUMBERS, forms, strict=True)
    ]


def _things() -> list[Word]:
    return [
        Word(text=text, role="thing", number=number, topic=topic)
        for topic, nouns in THINGS.items()
        for forms in nouns
        for number, text in zip(NUMBERS, forms, strict=True)
    ]


def _verbs() -> list[Word]:
    shown = (("singular", "present"), ("plural", "present"), (None, "past"))
    return [
        Word(text=text, role="verb", number=number, tense=tense, topic=topic)
        for topic, verbs in VERBS.items()
        for forms in verbs
        for (number, tense), text in zip(shown, forms, strict=True)
    ]


def _standing_for(table: dict[tuple[str, str | None], str], role: str) -> list[Word]:
    return [
        Word(text=text, role=role, number=number, gender=gender) for (number, gender), text in table.items()
    ]


def _plain(texts: tuple[str, ...], role: str) -> list[Word]:
    return [Word(text=text, role=role) for text in texts]


WORDS: dict[str, Word] = {
    word.text: word
    for word in (
        *(Word(text=text, role="time", tense=tense) for text, tense in TIMES.items()),
        *(Word(text=text, role="determiner", number=number) for text, number in DETERMINERS.items()),
        *_plain(ADJECTIVES, "adjective"),
        *_people(),
        *_plain(("who", "that"), "relative"),
        *_plain(PREPOSITIONS, "preposition"),
        *_plain(ADVERBS, "adverb"),
        *_verbs(),
        *_things(),
        *_standing_for(REFLEXIVES, "reflexive"),
        *_plain(CONJUNCTIONS, "conjunction"),
        *_standing_for(PRONOUNS, "pronoun"),
        Word(text=END, role="end"),
    )
}
"""Every word by its text."""

VOCABULARY = (PAD, UNKNOWN, BEGIN, *WORDS)
"""All tokens in the order of their numbers."""
