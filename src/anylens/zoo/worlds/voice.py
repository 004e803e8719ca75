"""How the vowels world makes sound: a train of pulses through the resonances of a throat.

Arrays are float64; times are in seconds, frequencies in hertz.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RATE = 16_000
"""Samples a second."""

VOWELS: dict[str, tuple[float, float, float]] = {
    "i": (280.0, 2250.0, 2950.0),
    "e": (480.0, 1900.0, 2550.0),
    "a": (750.0, 1200.0, 2500.0),
    "o": (500.0, 880.0, 2450.0),
    "u": (310.0, 720.0, 2300.0),
}
"""The first three resonances of each vowel, for a throat of medium size."""

HIGHER = (3500.0, 4500.0)
"""Resonances that all vowels share."""

BANDWIDTHS = (60.0, 80.0, 110.0, 160.0, 220.0)
TILT = 350.0
"""From here up the source falls by 6 dB an octave."""

PITCHES: dict[str, float] = {"low": 110.0, "middle": 160.0, "high": 230.0}
LOUDNESSES: dict[str, float] = {"soft": 0.03, "loud": 0.10}
"""Root mean square of a vowel, its ramps left out, where full scale is 1."""

SPEAKERS: dict[str, float] = {"large": 0.9, "medium": 1.0, "small": 1.1}
"""By what each speaker's throat multiplies the resonances."""

RAMP = 0.012
"""Seconds over which a vowel swells and fades."""


def resonances(vowel: str, speaker: str) -> tuple[float, ...]:
    """The frequencies that a speaker's throat lifts out for a vowel."""
    return tuple(SPEAKERS[speaker] * frequency for frequency in (*VOWELS[vowel], *HIGHER))


def pulses(count: int, *, hertz: float, glide: float) -> Array:
    """Pulses over `count` samples, at `hertz` in the middle, the pitch rising by the fraction `glide` from end to end.

    A pulse between two samples is shared out between them.
    """
    middle = np.arange(count) / max(count - 1, 1) - 0.5
    phase = np.concatenate([[0.0], np.cumsum(hertz * (1 + glide * middle) / RATE)])
    times = np.interp(np.arange(1, int(phase[-1]) + 1), phase, np.arange(count + 1))
    train = np.zeros(count + 2)
    whole = times.astype(np.int64)
    np.add.at(train, whole, 1 - (times - whole))
    np.add.at(train, whole + 1, times - whole)
    return train[:count]


@lru_cache(maxsize=64)
def throat(size: int, *, vowel: str, speaker: str) -> NDArray[np.complex128]:
    """What source and throat make of each frequency of a real Fourier transform of this size: gain and phase."""
    frequencies = np.fft.rfftfreq(size, 1 / RATE)
    s = 2j * np.pi * frequencies
    response = 1 / (1 + 1j * frequencies / TILT)
    for centre, bandwidth in zip(resonances(vowel, speaker), BANDWIDTHS, strict=True):
        square = (2 * np.pi * centre) ** 2
        response = response * square / (s**2 + 2 * np.pi * bandwidth * s + square)
    return np.asarray(response, dtype=np.complex128)


def utter(count: int, *, vowel: str, speaker: str, hertz: float, glide: float, loudness: float) -> Array:
    """One vowel of `count` samples, of this root mean square before its ends swell and fade."""
    size = 1 << (count + RATE // 20).bit_length()
    spectrum = np.fft.rfft(pulses(count, hertz=hertz, glide=glide), size)
    sound = np.fft.irfft(spectrum * throat(size, vowel=vowel, speaker=speaker), size)[:count]
    sound = sound - sound.mean()
    return np.asarray(sound * (loudness / np.sqrt((sound**2).mean())) * _swell(count))


def _swell(count: int) -> Array:
    """From 0 to 1 over the ramp, and back at the end."""
    from_end = np.minimum(np.arange(count) + 0.5, count - np.arange(count) - 0.5)
    return np.asarray(np.sin(np.minimum(from_end / (RAMP * RATE), 1) * np.pi / 2) ** 2)
