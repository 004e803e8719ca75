"""Scores models that play what a caption asks for: whether instrument and scale are those of the caption."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from anylens.zoo.measure.ear import InstrumentEar, scale_of
from anylens.zoo.worlds.melodies import FACTORS, SAMPLES, MelodiesBatch, sample

BATCH = 64


def measure(model: Any, *, processor: Any, samples: int, seed: int) -> dict[str, Any]:
    """How often sounds that are played to held-out captions follow them, each 0..1.

    followed: instrument and scale are both the caption's. instrument: by a classifier that was trained on true
    melodies. scale: by the pitch of each note. judges: what the same judges say of true melodies. followed_by: by
    instrument.
    """
    batch = sample(samples, seed=seed, split="held_out")
    ear = InstrumentEar.trained()
    instrument, scale = judged(ear, played(model, processor, batch, seed=seed), batch)
    true_instrument, true_scale = judged(ear, batch.waveform, batch)
    followed = instrument & scale
    return {
        "followed": _share(followed),
        "instrument": _share(instrument),
        "scale": _share(scale),
        "judges": {"instrument": _share(true_instrument), "scale": _share(true_scale)},
        "followed_by": {
            value: _share(followed[batch.factors["instrument"] == index])
            for index, value in enumerate(FACTORS["instrument"])
            if (batch.factors["instrument"] == index).any()
        },
    }


@torch.no_grad()
def played(model: Any, processor: Any, batch: MelodiesBatch, *, seed: int) -> Tensor:
    """What the model plays to the captions, drawn with this seed: [n, samples]."""
    found = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for first in range(0, len(batch.captions), BATCH):
            captions = batch.captions[first : first + BATCH]
            told = processor.tokenizer(captions, padding=True, return_tensors="pt")
            found.append(model.generate(**told)[:, 0, :SAMPLES])
    return torch.cat(found)


def judged(ear: InstrumentEar, waveform: Tensor, batch: MelodiesBatch) -> tuple[Tensor, Tensor]:
    """Whether each sound's instrument, and its scale, is the one that its melody asks for: [n] each, bool."""
    instrument = ear(waveform).argmax(-1) == batch.factors["instrument"]
    scale = [
        scale_of(one, melody) == melody.scale for one, melody in zip(waveform, batch.melodies, strict=True)
    ]
    return instrument, torch.tensor(scale)


def _share(right: Tensor) -> float:
    return right.double().mean().item()
