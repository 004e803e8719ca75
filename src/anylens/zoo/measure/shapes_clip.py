"""Scores `shapes-clip`: whether each held-out picture finds its caption among 64, and each caption its picture."""

from __future__ import annotations

from typing import Any

import torch

from anylens.core.errors import ZooError
from anylens.zoo.worlds.shapes import sample

CHOICES = 64


@torch.no_grad()
def measure(model: Any, *, processor: Any, samples: int, seed: int) -> dict[str, Any]:
    """Retrieval within groups of 64 held-out pictures and their captions.

    caption_first: share of pictures for which the caption with the highest similarity is their own, or the same in
    words. picture_first: share of captions for which the most similar picture is one that has this caption. The samples
    that fill no group are left out; raises ZooError where they fill none.
    """
    if samples < CHOICES:
        raise ZooError(f"{samples} samples are no group of {CHOICES}; measure at least {CHOICES}")
    batch = sample(samples, seed=seed, split="held_out")
    found: dict[str, list[bool]] = {"caption_first": [], "picture_first": []}
    for start in range(0, samples - CHOICES + 1, CHOICES):
        captions = batch.captions[start : start + CHOICES]
        words = processor.tokenizer(captions, padding=True, return_tensors="pt")
        pictures = batch.pixel_values[start : start + CHOICES]
        similar = model(pixel_values=pictures, **words).logits_per_image
        for name, best in (("caption_first", similar.argmax(1)), ("picture_first", similar.argmax(0))):
            found[name] += [captions[i] == caption for i, caption in zip(best, captions, strict=True)]
    return {name: sum(right) / len(right) for name, right in found.items()}
