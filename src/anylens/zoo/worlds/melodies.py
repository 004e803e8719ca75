"""The world of melodies: two seconds of one instrument that plays part of a scale, every factor known.

    batch = sample(4, seed=0)
    batch.captions[0]               # "a fast major scale going up on the flute"
    batch.positions(hop=80)         # which note, degree and instrument each 20 ms hold

A `Melody` holds everything that a sound is made from, so a counterfactual is a replaced field.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from anylens.core.errors import ZooError
from anylens.zoo.worlds.instruments import INSTRUMENTS, RATE, Array, play
from anylens.zoo.worlds.sampling import ABSENT, generator

SECONDS = 2.0
SAMPLES = int(SECONDS * RATE)
"""Length of every melody."""

SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11, 12),
    "minor": (0, 2, 3, 5, 7, 8, 10, 12),
}
"""Semitones of each degree above the first."""

TEMPOS: dict[str, int] = {"slow": 4, "fast": 8}
"""Notes in a melody."""

TONICS = tuple(range(57, 65))
"""First notes of the scales, as numbers of keys: 57 is the A at 220 Hz, and 12 are an octave."""

KEYS = tuple(range(TONICS[0], TONICS[-1] + 13))
"""All notes that are ever played."""

FACTORS: dict[str, tuple[str, ...]] = {
    "instrument": tuple(INSTRUMENTS),
    "scale": tuple(SCALES),
    "tempo": tuple(TEMPOS),
    "direction": ("up", "down"),
}
"""Each factor of a melody, with its values in the order of their numbers."""

_LETTERS = "C C# D D# E F F# G G# A A# B".split()

POSITION_FACTORS: dict[str, tuple[str, ...]] = {
    "instrument": tuple(INSTRUMENTS),
    "degree": tuple(str(degree) for degree in range(1, 9)),
    "note": tuple(f"{_LETTERS[key % 12]}{key // 12 - 1}" for key in KEYS),
}
"""Each factor of a place in a melody, with its values in the order of their numbers."""

WORDINGS = (
    "a {tempo} {scale} scale going {direction} on the {instrument}",
    "the {instrument} plays a {tempo} {scale} scale {direction}",
    "{instrument}, {scale}, {tempo}, {direction}",
)
"""The forms of a caption."""

NOISE = 0.002
"""Standard deviation of the noise on every sample."""


@dataclass(frozen=True)
class Note:
    """A note of a melody: degree of the scale from 1, number of the key, and when, in seconds."""

    degree: int
    key: int
    start: float
    seconds: float

    @property
    def hertz(self) -> float:
        """Its pitch."""
        return float(440.0 * 2 ** ((self.key - 69) / 12))


@dataclass(frozen=True, kw_only=True)
class Melody:
    """All that one sound is made from.

    tonic: the key of the scale's first degree. noise_seed: seeds the noise and the phases. wording: which of
    `WORDINGS` the caption takes. A slow melody has the scale's first four degrees going up and its last four going
    down, a fast one all eight.
    """

    instrument: str
    scale: str
    tempo: str
    direction: str
    tonic: int = TONICS[0]
    noise_seed: int = 0
    wording: int = 0

    def __post_init__(self) -> None:
        for factor, values in FACTORS.items():
            value = getattr(self, factor)
            if value not in values:
                raise ZooError(f"no {factor} is called {value!r}; choose from {', '.join(values)}")
        if self.tonic not in TONICS:
            raise ZooError(f"tonic is {self.tonic}; it must be from {TONICS[0]} to {TONICS[-1]}")
        if not 0 <= self.wording < len(WORDINGS):
            raise ZooError(f"wording is {self.wording}; there are {len(WORDINGS)}, from 0")

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        """The notes in the order of time."""
        count = TEMPOS[self.tempo]
        degrees = list(range(1, 9)) if self.direction == "up" else list(range(8, 0, -1))
        lasting = SECONDS / count
        return tuple(
            Note(degree, self.tonic + SCALES[self.scale][degree - 1], place * lasting, lasting)
            for place, degree in enumerate(degrees[:count])
        )

    @property
    def caption(self) -> str:
        """The melody in words."""
        return WORDINGS[self.wording].format(**{factor: getattr(self, factor) for factor in FACTORS})


@dataclass(frozen=True)
class MelodiesBatch:
    """Melodies with their truth.

    melodies: n melodies. waveform: [n, 8000], float32, within -1..1.
    """

    melodies: tuple[Melody, ...]
    waveform: Tensor

    @classmethod
    def of(cls, melodies: Iterable[Melody]) -> MelodiesBatch:
        """The batch of these melodies, played."""
        melodies = tuple(melodies)
        return cls(melodies, perform(melodies))

    @property
    def rate(self) -> int:
        """Samples a second."""
        return RATE

    @property
    def captions(self) -> list[str]:
        """One sentence for each melody."""
        return [melody.caption for melody in self.melodies]

    @property
    def factors(self) -> dict[str, Tensor]:
        """Each factor's value for every melody, [n], int64; `FACTORS` names the values."""
        return {
            factor: torch.tensor(
                [values.index(getattr(melody, factor)) for melody in self.melodies], dtype=torch.int64
            )
            for factor, values in FACTORS.items()
        }

    def positions(self, *, hop: int = 80) -> dict[str, Tensor]:
        """What sounds in the middle of every `hop` samples: [n, 8000 / hop], int64.

        `POSITION_FACTORS` names the values. A melody has no pauses, so none is ABSENT.
        """
        if hop < 1 or SAMPLES % hop:
            raise ZooError(f"hop is {hop}; it must divide the samples of a melody, {SAMPLES}")
        middles = (torch.arange(SAMPLES // hop, dtype=torch.float64) + 0.5) * hop / RATE
        found = {
            factor: torch.full((len(self.melodies), len(middles)), ABSENT) for factor in POSITION_FACTORS
        }
        for row, melody in enumerate(self.melodies):
            found["instrument"][row] = FACTORS["instrument"].index(melody.instrument)
            for note in melody.notes:
                within = (middles >= note.start) & (middles < note.start + note.seconds)
                found["degree"][row, within] = note.degree - 1
                found["note"][row, within] = KEYS.index(note.key)
        return found


def sample(n: int, *, seed: int, split: str = "train") -> MelodiesBatch:
    """Draw n melodies whose factors are independent and uniform; the same arguments give the same melodies."""
    numbers = generator(n, seed=seed, split=split)
    return MelodiesBatch.of(_random_melody(numbers) for _ in range(n))


def perform(melodies: Sequence[Melody]) -> Tensor:
    """The melodies' sounds: [n, 8000], float32, within -1..1."""
    sounds = np.empty((len(melodies), SAMPLES), dtype=np.float32)
    for place, melody in zip(sounds, melodies, strict=True):
        place[:] = np.clip(_sound(melody), -1, 1)
    return torch.from_numpy(sounds)


def _sound(melody: Melody) -> Array:
    numbers = np.random.default_rng(melody.noise_seed)
    phases = numbers.random(max(TEMPOS.values()))
    sound: Array = NOISE * numbers.standard_normal(SAMPLES)
    for note, phase in zip(melody.notes, phases.tolist(), strict=False):
        first, count = round(note.start * RATE), round(note.seconds * RATE)
        sound[first : first + count] += play(
            melody.instrument, hertz=note.hertz, seconds=note.seconds, phase=phase
        )
    return sound


def _random_melody(numbers: np.random.Generator) -> Melody:
    values = {factor: names[numbers.integers(len(names))] for factor, names in FACTORS.items()}
    return Melody(
        **values,
        tonic=TONICS[numbers.integers(len(TONICS))],
        noise_seed=int(numbers.integers(2**31)),
        wording=int(numbers.integers(len(WORDINGS))),
    )
