"""Recognisers of vowels: what they write is the judge."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from anylens.zoo.worlds.vowels import FACTORS, Clip, VowelsBatch
from tools.saes.tasks.task import Factors, Task, index_of

FRAMES = 100


class Transcripts(Task):
    """Writes down the vowels of a sound."""

    values: ClassVar[Mapping[str, tuple[str, ...]]] = {**FACTORS, "sound": ("pause", "vowel")}

    def inputs(self, samples: int, *, seed: int, split: str) -> Any:
        return _Written(super().inputs(samples, seed=seed, split=split), self.lens.processor)

    def truth(self, inputs: Any, number: int) -> Factors:
        """Return what each frame holds; one at the edge of a vowel holds two things, and counts as none."""
        found = inputs.samples.truth(number).positions(hop=32_000 // FRAMES)
        voiced = found["vowel"] >= 0
        within = voiced & voiced.roll(1, 1) & voiced.roll(-1, 1)
        inside = {name: value.where(within, -1) for name, value in found.items()}
        return {**inside, "sound": torch.where(within, 1, torch.where(voiced, -1, 0))}

    def trials(self, samples: int, *, seed: int) -> Any:
        """Return sounds of one vowel each, so that one letter is the answer."""
        found = super().trials(samples, seed=seed)
        found.samples.truth = _first_vowels(found.samples.truth)
        return found

    @torch.no_grad()
    def shown(self, given: Any) -> Factors:
        """Return the first vowel that is written, and how many signs there are."""
        tokens = self.lens.model.generate(given["input_features"])
        texts = [text.split() for text in self.lens.processor.batch_decode(tokens, skip_special_tokens=True)]
        return {
            "vowel": index_of(FACTORS["vowel"], [text[0] if text else None for text in texts]),
            "length": torch.tensor([len(text) for text in texts]),
        }

    def loss(self, output: Any, given: Any) -> Tensor:
        return output.loss


def _first_vowels(truth: Any) -> Any:
    def alone(number: int) -> VowelsBatch:
        return VowelsBatch.of(
            Clip(segments=clip.segments[:1], noise_seed=clip.noise_seed) for clip in truth(number).clips
        )

    return alone


class _Written:
    """Sounds with their transcripts, for the loss."""

    def __init__(self, samples: Any, processor: Any) -> None:
        self.samples, self.processor = samples, processor

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> Any:
        if number >= len(self):
            raise IndexError(number)
        texts = self.samples.truth(number).transcripts
        words = self.processor.tokenizer(texts, padding=True, return_tensors="pt")
        labels = words.input_ids.masked_fill(words.attention_mask == 0, -100)
        return {**self.samples[number], "labels": labels}
