"""The tokenizer of captions: the one that CLIP has, with a vocabulary in which each word of the world is one token."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from anylens.zoo.worlds.shapes import FACTORS, WORDINGS, Scene

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

LONGEST = 16
"""Tokens of the longest caption, with the two that begin and end it."""

BEGIN, END = "<|startoftext|>", "<|endoftext|>"


@cache
def _corpus() -> tuple[str, ...]:
    """Captions that hold every value of every factor, in every wording."""
    first: dict[str, Any] = {factor: values[0] for factor, values in FACTORS.items() if factor != "cell"}
    scenes = [
        Scene(**{**first, factor: value}, x=x, y=y, wording=wording)
        for factor, values in FACTORS.items()
        if factor != "cell"
        for value in values
        for x in (5, 16, 27)
        for y in (5, 16, 27)
        for wording in range(len(WORDINGS))
    ]
    return tuple(scene.caption for scene in scenes)


def caption_tokenizer() -> CLIPTokenizer:
    """A tokenizer whose byte pairs are merged until every word of the captions is one token."""
    from transformers import CLIPTokenizer

    merges, symbols = _pairs(sorted({word for caption in _corpus() for word in _split(caption)}))
    vocabulary = {token: number for number, token in enumerate([*symbols, BEGIN, END])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LONGEST)


def _split(caption: str) -> list[str]:
    return caption.replace(",", " , ").split()


def _pairs(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The pairs to merge, the most frequent first and of equals the first by alphabet, and all symbols."""
    spelt = [[*word[:-1], f"{word[-1]}</w>"] for word in words]
    symbols = sorted({symbol for word in spelt for symbol in word})
    merges = []
    while counts := Counter(pair for word in spelt for pair in pairwise(word)):
        pair = min(counts, key=lambda one: (-counts[one], one))
        merges.append(pair)
        symbols.append("".join(pair))
        spelt = [_merged(word, pair) for word in spelt]
    return merges, symbols


def _merged(word: list[str], pair: tuple[str, str]) -> list[str]:
    """The symbols of a word with a pair made one wherever it stands."""
    found: list[str] = []
    for symbol in word:
        if found and (found[-1], symbol) == pair:
            found[-1] += symbol
        else:
            found.append(symbol)
    return found


def encode(tokenizer: Any, captions: list[str]) -> dict[str, Any]:
    """Captions as a text encoder takes them: input_ids and attention_mask, [n, LONGEST]."""
    given = tokenizer(
        captions, padding="max_length", truncation=True, max_length=LONGEST, return_tensors="pt"
    )
    return {name: given[name] for name in ("input_ids", "attention_mask")}
