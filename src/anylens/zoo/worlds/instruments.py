"""How the melodies world makes sound: a few instruments, each a handful of partials under an envelope.

Arrays are float64; times are in seconds, frequencies in hertz.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RATE = 4_000
"""Samples a second."""

LEVEL = 0.15
"""Root mean square of a note where it is loudest, full scale being 1."""


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """A sound. partials: the strength of each multiple of the pitch. attack: seconds until it is full.

    decay: seconds in which it falls to a third, or None for one that stays.
    """

    partials: tuple[float, ...]
    attack: float
    decay: float | None = None


INSTRUMENTS: dict[str, Instrument] = {
    "flute": Instrument(partials=(1.0, 0.06), attack=0.05),
    "clarinet": Instrument(partials=(1.0, 0.0, 0.7, 0.0, 0.5), attack=0.03),
    "organ": Instrument(partials=(0.5, 1.0, 0.0, 0.7), attack=0.01),
    "harp": Instrument(partials=(1.0, 0.6, 0.4, 0.25, 0.15), attack=0.004, decay=0.12),
}

RELEASE = 0.02
"""Seconds over which a note ends."""


def play(instrument: str, *, hertz: float, seconds: float, phase: float = 0.0) -> Array:
    """One note; partials that the rate cannot hold are left out. phase: of the first partial, in turns."""
    known = INSTRUMENTS[instrument]
    times = np.arange(round(seconds * RATE)) / RATE
    strengths = np.array(known.partials)
    multiples = np.arange(1, len(strengths) + 1)
    heard = (strengths > 0) & (multiples * hertz < 0.48 * RATE)
    turns = multiples[heard, None] * (hertz * times + phase)
    sound = strengths[heard] @ np.sin(2 * np.pi * turns)
    level = LEVEL / np.sqrt((strengths[heard] ** 2).sum() / 2)
    return np.asarray(level * sound * _envelope(known, times, seconds))


def _envelope(known: Instrument, times: Array, seconds: float) -> Array:
    swelling = np.minimum((times + 0.5 / RATE) / known.attack, 1)
    ending = np.minimum((seconds - times) / RELEASE, 1)
    fading = np.exp(-times / known.decay) if known.decay is not None else 1.0
    return np.asarray(swelling * ending * fading)
