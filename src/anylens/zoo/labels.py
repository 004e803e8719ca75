"""What each position of a model's input holds, by the factors of its world: the truth that features are scored on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.nn.functional import pad

from anylens.zoo.worlds import grammar, melodies, shapes, vowels
from anylens.zoo.worlds.drawing import SIDE
from anylens.zoo.worlds.sampling import ABSENT

Labels = dict[str, Tensor]
Values = Mapping[str, tuple[str, ...]]

WHOLES = {
    "shapes": "the picture's {}",
    "grammar": "the sentence's {}",
    "melodies": "the melody's {}",
    "vowels": "{}",
}
"""What a factor of a whole sample is called, by world; one of a position has its own name."""

_HERE: Mapping[str, Values] = {
    "shapes": {**shapes.FACTORS, "shows": ("background", "object")},
    "vowels": {**vowels.FACTORS, "sounds": ("pause", "vowel")},
    "grammar": grammar.WORD_FACTORS,
    "melodies": {**melodies.FACTORS, **melodies.POSITION_FACTORS},
}
_WHOLE: Mapping[str, Values] = {
    "shapes": shapes.FACTORS,
    "vowels": {},
    "grammar": grammar.FACTORS,
    "melodies": melodies.FACTORS,
}

VALUES: Mapping[str, Values] = {
    world: {**here, **{WHOLES[world].format(name): values for name, values in _WHOLE[world].items()}}
    for world, here in _HERE.items()
}
"""What each factor's values are called, by world: of positions, and of whole samples."""

UNSEEN = "prompt"
"""The argument of models that are not shown the sample: what lies where is theirs to choose."""

TEXTS: Mapping[str, frozenset[str]] = {
    "shapes": frozenset({"input_ids"}),
    "vowels": frozenset({"input_ids", "decoder_input_ids"}),
    "melodies": frozenset({"input_ids"}),
    "grammar": frozenset(),
}
"""Arguments, `[n, token]`, that are texts beside the sample, by world: as many positions are tokens, and no patches."""


def labels_of(world: str, batch: Any, given: Mapping[str, Any], extent: tuple[int, ...]) -> Labels:
    """Return each factor's value at each position, and that of the whole sample: `[n, *extent]` int64.

    ABSENT where there is none. Where positions of this extent cannot be told from each other there are those of whole
    samples only, and nothing where the model makes samples of its own.

    Args:
        world: the world's name.
        batch: of the world.
        given: what the model is given of it.
        extent: the sizes of the axes of positions at a point of the model.
    """
    if "latent" in given:
        return {}
    texts = [tuple(given[name].shape[1:]) for name in TEXTS[world] & given.keys()]
    found = None if UNSEEN in given or extent in texts else _AT[world](batch, extent)
    ones = (1,) * len(extent)
    whole = {
        WHOLES[world].format(name): value.reshape(-1, *ones).expand(-1, *extent)
        for name, value in batch.factors.items()
        if name in _WHOLE[world]
    }
    return {**(found or {}), **whole}


def _shapes(batch: shapes.ShapesBatch, extent: tuple[int, ...]) -> Labels | None:
    """By cells of a grid, or by patches in reading order behind the tokens before them."""
    cells = math.prod(extent)
    side = math.isqrt(cells)
    before = cells - side * side if len(extent) == 1 else 0
    if side < 2 or SIDE % side or before > 1 or (len(extent) == 2 and extent[0] != extent[1]):
        return None
    found = batch.positions(patch=SIDE // side)
    found["shows"] = (found["shape"] != ABSENT).long()
    if len(extent) == 2:
        return found
    return {name: pad(value.flatten(1), (before, 0), value=ABSENT) for name, value in found.items()}


def _vowels(batch: vowels.VowelsBatch, extent: tuple[int, ...]) -> Labels | None:
    """By frames of equal length."""
    fits = len(extent) == 1 and extent[0] > 1 and vowels.SAMPLES % extent[0] == 0
    if not fits:
        return None
    found = batch.positions(hop=vowels.SAMPLES // extent[0])
    return {**found, "sounds": (found["vowel"] != ABSENT).long()}


def _melodies(batch: melodies.MelodiesBatch, extent: tuple[int, ...]) -> Labels | None:
    """By frames of equal length, at least two to a note: fewer positions are words of a caption."""
    fewest = 2 * max(melodies.TEMPOS.values())
    fits = len(extent) == 1 and extent[0] >= fewest and melodies.SAMPLES % extent[0] == 0
    return batch.positions(hop=melodies.SAMPLES // extent[0]) if fits else None


def _grammar(batch: grammar.GrammarBatch, extent: tuple[int, ...]) -> Labels | None:
    """By tokens."""
    return batch.positions() if extent == tuple(batch.input_ids.shape[1:]) else None


_AT: Mapping[str, Callable[[Any, tuple[int, ...]], Labels | None]] = {
    "shapes": _shapes,
    "vowels": _vowels,
    "grammar": _grammar,
    "melodies": _melodies,
}
