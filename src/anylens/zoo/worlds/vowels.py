"""The world of vowels: two seconds of speech-like sound at 16 kHz, vowels with pauses between, every factor known.

    batch = sample(4, seed=0)
    batch.transcripts[0]            # "a i , u": a comma is a long pause
    batch.positions(hop=320)        # which vowel, pitch, loudness and speaker each 20 ms hold

A `Segment` holds everything that one vowel is made from, so a counterfactual is a replaced field.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from anylens.core.errors import ZooError
from anylens.zoo.worlds.sampling import ABSENT, generator
from anylens.zoo.worlds.voice import LOUDNESSES, PITCHES, RATE, SPEAKERS, VOWELS, Array, utter

SECONDS = 2.0
SAMPLES = int(SECONDS * RATE)
"""Length of every clip."""

FACTORS: dict[str, tuple[str, ...]] = {
    "vowel": tuple(VOWELS),
    "pitch": tuple(PITCHES),
    "loudness": tuple(LOUDNESSES),
    "speaker": tuple(SPEAKERS),
}
"""Each factor of a segment, with its values in the order of their numbers."""

MOST = 4
"""No clip holds more vowels."""

LASTING = (0.14, 0.24)
"""Shortest and longest vowel, in seconds."""

PAUSES = {"short": (0.06, 0.10), "long": (0.20, 0.28)}
"""Shortest and longest of each kind of pause, in seconds."""

LONG_PAUSE = 0.15
"""From so many seconds on, a pause is written."""

PITCH_JITTER = 0.06
GLIDE = 0.04
"""Largest fraction that the pitch lies off its name's, and that it rises or falls by within a vowel."""

NOISE = 0.001
"""Standard deviation of the noise on every sample."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One vowel: `start` and `seconds` say when, `hertz` the pitch in its middle, `glide` by what part that rises."""

    vowel: str
    pitch: str
    loudness: str
    speaker: str
    start: float
    seconds: float
    hertz: float
    glide: float = 0.0

    def __post_init__(self) -> None:
        for factor, values in FACTORS.items():
            value = getattr(self, factor)
            if value not in values:
                raise ZooError(f"no {factor} is called {value!r}; choose from {', '.join(values)}")
        if not (self.start >= 0 and self.seconds > 0 and self.end <= SECONDS):
            raise ZooError(f"a vowel from {self.start} to {self.end} s does not fit into {SECONDS} s")

    @property
    def end(self) -> float:
        """When it ends, in seconds."""
        return self.start + self.seconds


@dataclass(frozen=True, kw_only=True)
class Clip:
    """All that one sound is made from. noise_seed: seeds its noise."""

    segments: tuple[Segment, ...]
    noise_seed: int = 0

    def __post_init__(self) -> None:
        if any(gap < 0 for gap in self.pauses):
            raise ZooError("two vowels overlap; segments must follow one another in time")

    @property
    def pauses(self) -> list[float]:
        """Seconds between each vowel and the next."""
        return [
            after.start - before.end for before, after in zip(self.segments, self.segments[1:], strict=False)
        ]

    @property
    def transcript(self) -> str:
        """The vowels, with a comma for each long pause, blanks between."""
        marks = [" , " if pause >= LONG_PAUSE else " " for pause in self.pauses] + [""]
        return "".join(
            segment.vowel + mark for segment, mark in zip(self.segments, marks, strict=bool(self.segments))
        )


@dataclass(frozen=True)
class VowelsBatch:
    """Sounds with their truth.

    clips: n clips. waveform: [n, 32000], float32, within -1..1.
    """

    clips: tuple[Clip, ...]
    waveform: Tensor

    @classmethod
    def of(cls, clips: Iterable[Clip]) -> VowelsBatch:
        """The batch of these clips, spoken."""
        clips = tuple(clips)
        return cls(clips, speak(clips))

    @property
    def rate(self) -> int:
        """Samples a second."""
        return RATE

    @property
    def transcripts(self) -> list[str]:
        """What each clip says."""
        return [clip.transcript for clip in self.clips]

    @property
    def factors(self) -> dict[str, Tensor]:
        """Each factor's value for every vowel: [n, 4], int64; `FACTORS` names the values, ABSENT is no vowel."""
        found = {factor: torch.full((len(self.clips), MOST), ABSENT) for factor in FACTORS}
        for row, clip in enumerate(self.clips):
            for place, segment in enumerate(clip.segments):
                for factor, values in FACTORS.items():
                    found[factor][row, place] = values.index(getattr(segment, factor))
        return found

    def positions(self, *, hop: int = 320) -> dict[str, Tensor]:
        """Each factor's value in the middle of every `hop` samples: [n, 32000 / hop], int64, ABSENT in a pause."""
        if hop < 1 or SAMPLES % hop:
            raise ZooError(f"hop is {hop}; it must divide the samples of a clip, {SAMPLES}")
        middles = (torch.arange(SAMPLES // hop, dtype=torch.float64) + 0.5) * hop / RATE
        found = {factor: torch.full((len(self.clips), len(middles)), ABSENT) for factor in FACTORS}
        for row, clip in enumerate(self.clips):
            for segment in clip.segments:
                within = (middles >= segment.start) & (middles < segment.end)
                for factor, values in FACTORS.items():
                    found[factor][row, within] = values.index(getattr(segment, factor))
        return found


def sample(n: int, *, seed: int, split: str = "train") -> VowelsBatch:
    """Draw n clips whose factors are independent and uniform; the same arguments give the same clips."""
    numbers = generator(n, seed=seed, split=split)
    return VowelsBatch.of(_random_clip(numbers) for _ in range(n))


def speak(clips: Sequence[Clip]) -> Tensor:
    """The clips' sounds: [n, 32000], float32, within -1..1."""
    sounds = np.empty((len(clips), SAMPLES), dtype=np.float32)
    for place, clip in zip(sounds, clips, strict=True):
        place[:] = np.clip(_sound(clip), -1, 1)
    return torch.from_numpy(sounds)


def _sound(clip: Clip) -> Array:
    sound: Array = NOISE * np.random.default_rng(clip.noise_seed).standard_normal(SAMPLES)
    for segment in clip.segments:
        first, last = round(segment.start * RATE), round(segment.end * RATE)
        sound[first:last] += utter(
            last - first,
            vowel=segment.vowel,
            speaker=segment.speaker,
            hertz=segment.hertz,
            glide=segment.glide,
            loudness=LOUDNESSES[segment.loudness],
        )
    return sound


def _random_clip(numbers: np.random.Generator) -> Clip:
    segments, now = [], float(numbers.uniform(0.02, 0.15))
    for _ in range(int(numbers.integers(1, MOST + 1))):
        segments.append(_random_segment(numbers, start=now))
        kind = ("short", "long")[numbers.integers(2)]
        now = segments[-1].end + float(numbers.uniform(*PAUSES[kind]))
    return Clip(segments=tuple(segments), noise_seed=int(numbers.integers(2**31)))


def _random_segment(numbers: np.random.Generator, *, start: float) -> Segment:
    values = {factor: names[numbers.integers(len(names))] for factor, names in FACTORS.items()}
    jitter, glide = numbers.uniform(-1, 1, size=2).tolist()
    return Segment(
        **values,
        start=start,
        seconds=float(numbers.uniform(*LASTING)),
        hertz=PITCHES[values["pitch"]] * (1 + PITCH_JITTER * jitter),
        glide=GLIDE * glide,
    )
