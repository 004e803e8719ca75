"""Judges of melodies: which instrument plays, by a classifier trained on true ones, and which scale, by its pitches."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anylens.zoo.worlds.instruments import RATE
from anylens.zoo.worlds.melodies import FACTORS, SCALES, Melody, sample

WINDOW = 256
STEPS, BATCH = 100, 32
LOWEST, HIGHEST = 190.0, 700.0
"""Pitches that are listened for, in hertz."""

TOLERANCE = 0.5
"""Semitones that the notes may be off in the mean to be a scale at all."""


class InstrumentEar(nn.Module):
    """Names the instrument of a sound from how loud each frequency is, and how much that changes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * (WINDOW // 2 + 1), 64), nn.ReLU(), nn.Linear(64, len(FACTORS["instrument"]))
        )

    def forward(self, waveform: Tensor) -> Tensor:
        """Scores of the instruments, [n, instruments], for sounds, [n, samples]."""
        spectra = torch.stft(
            waveform, WINDOW, WINDOW // 2, window=torch.hann_window(WINDOW), return_complex=True
        )
        loudness = torch.log1p(30 * spectra.abs() / WINDOW**0.5)
        scores: Tensor = self.layers(torch.cat([loudness.mean(-1), loudness.std(-1)], dim=-1))
        return scores

    @classmethod
    def trained(cls, *, seed: int = 0) -> InstrumentEar:
        """An ear that has heard melodies of the world; takes seconds, and leaves the random numbers as they were."""
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            ear = cls()
            optimiser = torch.optim.Adam(ear.parameters(), lr=5e-3)
            for step in range(STEPS):
                batch = sample(BATCH, seed=step, split="train")
                loss = nn.functional.cross_entropy(ear(batch.waveform), batch.factors["instrument"])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        return ear.eval().requires_grad_(False)


def scale_of(waveform: Tensor, melody: Melody) -> str | None:
    """The scale that a sound, [samples], plays at this melody's tempo and direction; None where it plays neither.

    Octaves are left out of account: the pitch of an organ is a matter of taste.
    """
    played = torch.tensor([_key(_part(waveform, note.start, note.seconds)) for note in melody.notes])
    misses = {}
    for scale, steps in SCALES.items():
        above = torch.tensor([float(steps[note.degree - 1]) for note in melody.notes])
        tonics = torch.arange(0, 12, 0.25)[:, None]
        off = (played - above - tonics + 6).remainder(12) - 6
        misses[scale] = off.abs().mean(1).min().item()
    best = min(misses, key=lambda scale: misses[scale])
    return best if misses[best] <= TOLERANCE else None


def _part(waveform: Tensor, start: float, seconds: float) -> Tensor:
    """The middle of a note."""
    first, last = (start + 0.1 * seconds) * RATE, (start + 0.9 * seconds) * RATE
    return waveform[round(first) : round(last)]


def _key(sound: Tensor) -> float:
    """The key, with fractions, whose multiples are all loud: by products of the spectrum with its own stretches."""
    size = 1 << 15
    spectrum = torch.fft.rfft(sound * torch.hann_window(len(sound)), size).abs() + 1e-3
    places = torch.arange(int(LOWEST * size / RATE), int(HIGHEST * size / RATE))
    sums = sum(spectrum[(k * places).clamp_max(size // 2)].log() / k for k in (1, 2, 3, 4))
    assert isinstance(sums, Tensor)
    hertz = places[sums.argmax()].double() * RATE / size
    return float(69 + 12 * torch.log2(hertz / 440))
