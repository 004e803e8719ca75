"""Scores models that play what a caption asks for: whether instrument and scale are those of the caption."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from anylens.core.errors import ZooError
from anylens.zoo.measure.ear import InstrumentEar, scale_of
from anylens.zoo.worlds.melodies import FACTORS, SAMPLES, MelodiesBatch, Melody, sample

BATCH = 64
DRAWN = 1024  # melodies, which have every caption among them


def measure(model: Any, *, processor: Any, samples: int, seed: int) -> dict[str, Any]:
    """How often sounds that are played to captions follow them, each 0..1; samples: how many captions, each once.

    There are 96 captions in all, and training has each of them. The model plays a caption always in the same way, its
    likeliest.

    followed: instrument and scale are both the caption's. instrument: by a classifier that was trained on true
    melodies. scale: by the pitch of each note. judges: what the same judges say of true melodies. followed_by: by
    instrument.
    """
    batch = captioned(samples, seed=seed)
    ear = InstrumentEar.trained()
    instrument, scale = judged(ear, played(model, processor, batch), batch)
    true_instrument, true_scale = judged(ear, batch.waveform, batch)
    followed = instrument & scale
    return {
        "split": "captions that training has too",
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


def captioned(number: int, *, seed: int) -> MelodiesBatch:
    """So many held-out melodies with a caption of their own each.

    Raises ZooError where the world has not so many captions.
    """
    found: dict[str, Melody] = {}
    for melody in sample(DRAWN, seed=seed, split="held_out").melodies:
        found.setdefault(melody.caption, melody)
    if number > len(found):
        raise ZooError(f"{number} captions are wanted, and melodies have {len(found)}; measure at most these")
    return MelodiesBatch.of(list(found.values())[:number])


@torch.no_grad()
def played(model: Any, processor: Any, batch: MelodiesBatch) -> Tensor:
    """What the model plays to the captions: [n, samples]."""
    found = []
    for first in range(0, len(batch.captions), BATCH):
        captions = batch.captions[first : first + BATCH]
        told = processor.tokenizer(captions, padding=True, return_tensors="pt")
        found.append(model.generate(**told, do_sample=False)[:, 0, :SAMPLES])
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
