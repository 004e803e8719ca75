"""Scores recognisers of the vowels world: how much of what they write is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anylens.zoo.worlds.voice import RATE
from anylens.zoo.worlds.vowels import FACTORS, VowelsBatch, sample

BATCH = 64


def measure(model: Any, *, processor: Any, samples: int, seed: int) -> dict[str, Any]:
    """Error rates over held-out sounds, transcribed by `generate`, greedily.

    error_rate: tokens to insert, delete or replace to get the true transcripts, for each token of those. whole: how
    many transcripts are right from end to end, 0..1. whole_by: the same for sounds with a speaker or a pitch in them.
    """
    batch = sample(samples, seed=seed, split="held_out")
    written = transcribed(model, processor, batch)
    pairs = [(text.split(), truth.split()) for text, truth in zip(written, batch.transcripts, strict=True)]
    right = [text == truth for text, truth in pairs]
    return {
        "error_rate": sum(distance(*pair) for pair in pairs) / sum(len(truth) for _, truth in pairs),
        "whole": sum(right) / len(right),
        "whole_by": {factor: _by_value(right, batch, factor) for factor in ("speaker", "pitch")},
    }


def transcribed(model: Any, processor: Any, batch: VowelsBatch) -> list[str]:
    """What the model writes for each sound."""
    found: list[str] = []
    for part in batch.waveform.split(BATCH):
        heard = processor.feature_extractor(list(part.numpy()), sampling_rate=RATE, return_tensors="pt")
        tokens = model.generate(heard.input_features)
        found += processor.batch_decode(tokens, skip_special_tokens=True)
    return found


def distance(text: Sequence[str], truth: Sequence[str]) -> int:
    """The fewest insertions, deletions and replacements that turn one sequence into the other."""
    costs = list(range(len(truth) + 1))
    for row, mark in enumerate(text, start=1):
        before, costs[0] = costs[0], row
        for column, wanted in enumerate(truth, start=1):
            replaced = before + (mark != wanted)
            before, costs[column] = costs[column], min(costs[column] + 1, costs[column - 1] + 1, replaced)
    return costs[-1]


def _by_value(right: list[bool], batch: VowelsBatch, factor: str) -> dict[str, float]:
    """The mean of `right` over the sounds that hold each value of a factor."""
    holds = {
        value: [
            one
            for one, clip in zip(right, batch.clips, strict=True)
            if any(getattr(segment, factor) == value for segment in clip.segments)
        ]
        for value in FACTORS[factor]
    }
    return {value: sum(found) / len(found) for value, found in holds.items() if found}
