"""What the worlds share: splits that never meet, and the number for "nothing here"."""

from __future__ import annotations

import numpy as np

from anylens.core.errors import ZooError

SPLITS = ("train", "held_out")

ABSENT = -1
"""Stands where a position holds no value of a factor, such as a frame of silence."""


def generator(n: int, *, seed: int, split: str) -> np.random.Generator:
    """The random stream of this seed and split, for n samples; raises ZooError for a bad count, seed or split.

    The stream is `numpy.random.SeedSequence([k, seed])`, where k is the split's place in `SPLITS`: the first word tells
    the splits apart, whatever the seeds, so a model trained on "train" with any seed has not seen what "held_out"
    gives. The other order would not do: `[s, 1]` and `[s + 2**32, 0]` are one stream.
    """
    if n < 0:
        raise ZooError(f"n is {n}; it counts samples, so it must be at least 0")
    if seed < 0:
        raise ZooError(f"seed is {seed}; it must be at least 0")
    if split not in SPLITS:
        raise ZooError(f"no split is called {split!r}; choose from {', '.join(SPLITS)}")
    return np.random.default_rng(np.random.SeedSequence([SPLITS.index(split), seed]))
