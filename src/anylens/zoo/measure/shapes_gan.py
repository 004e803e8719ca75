"""Scores `shapes-gan`: how many of its pictures `shapes-vit` recognises, and how many kinds it makes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from anylens.zoo.measure.judge import judged, obedience
from anylens.zoo.worlds.drawing import COLOURS, SHAPES

CONFIDENCE = 0.9
DRAWN = 500
"""Among so many pictures each shape and each colour must occur."""


def measure(model: Any, *, samples: int, seed: int) -> dict[str, Any]:
    """What the judge says of pictures that the generator makes of random latents.

    recognised: share of which the judge is sure, at a confidence over 0.9. absent: how many of the world's shapes and
    colours do not occur, among those recognised of the first 500 pictures. obeyed: share in which the judge sees the
    colour and shape that the latent asks for. shares: of each shape and colour.
    """
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(samples, model.generator.latent, generator=generator)
    with torch.no_grad():
        made = torch.cat([model.generator(part) for part in latents.split(256)])
    verdict = judged(made / 2 + 0.5)
    sure = [confidence > CONFIDENCE for confidence in verdict.confidence.tolist()]
    first = {
        word
        for label, ok in list(zip(verdict.labels, sure, strict=True))[:DRAWN]
        if ok
        for word in label.split()
    }
    return {
        "split": "random latents",
        "recognised": sum(sure) / samples,
        "absent": sum(name not in first for name in (*SHAPES, *COLOURS)),
        **obedience(verdict, wanted(latents)),
        "shares": {
            "shape": {name: verdict.shapes.count(name) / samples for name in SHAPES},
            "colour": {name: verdict.colours.count(name) / samples for name in COLOURS},
        },
    }


def wanted(latents: Tensor) -> list[str]:
    """What latents ask for, such as "red circle": the largest of the first group, the shapes', and of the colours'."""
    shape, colour, _ = latents.tensor_split((len(SHAPES), len(SHAPES) + len(COLOURS)), dim=1)
    pairs = zip(colour.argmax(1).tolist(), shape.argmax(1).tolist(), strict=True)
    return [f"{list(COLOURS)[one]} {list(SHAPES)[other]}" for one, other in pairs]
