"""Recognisers of vowels: what they write is the judge."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from anylens.tasks.inputs import Given, Inputs
from anylens.tasks.task import Factors, Task, index_of
from anylens.zoo.feeding import Samples
from anylens.zoo.worlds.vowels import FACTORS, Clip, VowelsBatch

FRAMES = 100
START, LASTING = 0.06, 0.2
"""When the only vowel of a sound that is steered begins, and how long it lasts: frames 3 to 12."""


class Transcripts(Task):
    """Writes down the vowels of a sound."""

    values: ClassVar[Mapping[str, tuple[str, ...]]] = {**FACTORS, "sound": ("pause", "vowel")}

    def added(self, samples: Samples, number: int, given: Given) -> Given:
        """Return the transcripts, for the loss."""
        texts = samples.truth(number).transcripts
        words = self.lens.processor.tokenizer(texts, padding=True, return_tensors="pt")
        return {"labels": words.input_ids.masked_fill(words.attention_mask == 0, -100)}

    def truth(self, inputs: Any, number: int) -> Factors:
        """Return what each frame holds; one at the edge of a vowel holds two things, and counts as none."""
        found = inputs.truth(number).positions(hop=32_000 // FRAMES)
        voiced = found["vowel"] >= 0
        within = voiced & voiced.roll(1, 1) & voiced.roll(-1, 1)
        inside = {name: value.where(within, -1) for name, value in found.items()}
        return {**inside, "sound": torch.where(within, 1, torch.where(voiced, -1, 0))}

    def trials(self, samples: int, *, seed: int) -> Inputs:
        """Return sounds of one vowel each, so that one letter is the answer."""
        return Inputs(
            _FirstVowels(self.model, samples, batch=self.size, seed=seed, split="held_out"), self.added
        )

    @torch.no_grad()
    def shown(self, given: Any) -> Factors:
        """Return the first vowel that is written, and how many signs there are."""
        tokens = self.net.generate(given["input_features"])
        texts = [text.split() for text in self.lens.processor.batch_decode(tokens, skip_special_tokens=True)]
        return {
            "vowel": index_of(FACTORS["vowel"], [text[0] if text else None for text in texts]),
            "length": torch.tensor([len(text) for text in texts]),
        }

    def loss(self, output: Any, given: Any) -> Tensor:
        loss: Tensor = output.loss
        return loss


class _FirstVowels(Samples):
    """Sounds of one vowel each: the first, from `START` on and for `LASTING` seconds."""

    def truth(self, number: int) -> VowelsBatch:
        clips = super().truth(number).clips
        return VowelsBatch.of(
            Clip(
                segments=(replace(clip.segments[0], start=START, seconds=LASTING),),
                noise_seed=clip.noise_seed,
            )
            for clip in clips
        )
