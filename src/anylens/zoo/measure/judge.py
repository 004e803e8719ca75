"""The judge of made pictures: `shapes-vit`, which names colour and shape and says how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anylens.zoo.loading import load_model

BATCH = 256
NOTHING = "nothing"
COLOURED, WHITE, FEWEST = 0.25, 0.75, 6  # of an object's pixels: backgrounds are grey, and darker


@dataclass(frozen=True)
class Verdict:
    """What the judge sees in each picture: labels such as "red circle", and its confidence, [n], 0..1.

    A picture without an object has the label "nothing" and a confidence of 0.
    """

    labels: tuple[str, ...]
    confidence: Tensor

    @property
    def colours(self) -> list[str]:
        """The colour that each picture's object has."""
        return [label.split()[0] for label in self.labels]

    @property
    def shapes(self) -> list[str]:
        """The shape that each picture's object has."""
        return [label.split()[-1] for label in self.labels]


@torch.no_grad()
def judged(pixels: Tensor) -> Verdict:
    """The judge's verdict on pictures, [n, 3, 32, 32], 0..1.

    It was trained on pictures of one object, and is sure of others too: it calls one that is half red a red cross.
    """
    model: Any = load_model("shapes-vit")
    values = pixels * 2 - 1
    chances = torch.cat([model(pixel_values=part).logits.softmax(-1) for part in values.split(BATCH)])
    confidence, places = chances.max(-1)
    none = empty(pixels)
    labels = tuple(
        NOTHING if gone else model.config.id2label[place]
        for place, gone in zip(places.tolist(), none.tolist(), strict=True)
    )
    return Verdict(labels, confidence.masked_fill(none, 0))


def empty(pixels: Tensor) -> Tensor:
    """Which pictures, [n, 3, 32, 32], 0..1, show no object: none of a few pixels is coloured or near to white.

    The judge has no label for them: it calls a black picture a green star, with a confidence of 0.94.
    """
    coloured = pixels.amax(1) - pixels.amin(1) > COLOURED
    there = (coloured | (pixels.amin(1) > WHITE)).flatten(1).sum(1)
    return there < FEWEST


def obedience(verdict: Verdict, wanted: list[str]) -> dict[str, Any]:
    """How often what was wanted, such as "red circle", is what the judge sees, as a whole and by its halves."""
    pairs = [label.split() for label in wanted]
    colour = [seen == colour for seen, (colour, _) in zip(verdict.colours, pairs, strict=True)]
    shape = [seen == shape for seen, (_, shape) in zip(verdict.shapes, pairs, strict=True)]
    both = [one and other for one, other in zip(colour, shape, strict=True)]
    return {"obeyed": _mean(both), "obeyed_of": {"colour": _mean(colour), "shape": _mean(shape)}}


def _mean(values: list[bool]) -> float:
    return sum(values) / len(values)
