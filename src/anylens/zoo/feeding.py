"""Samples of a world as a model of the zoo takes them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from anylens.core.errors import ZooError
from anylens.zoo.catalogue import entry
from anylens.zoo.codes import before, delayed
from anylens.zoo.labels import VALUES, labels_of
from anylens.zoo.loading import load_model, load_processor, load_world
from anylens.zoo.worlds.drawing import SIZES
from anylens.zoo.worlds.shapes import FACTORS, ShapesBatch, room

LATENT = 40
"""Numbers that shapes-gan makes a picture of."""


class Samples:
    """A sequence of inputs, each a batch, drawn when it is asked for: the n-th is always the same.

    `truth(n)` is the batch of the world that input n shows, with its factors and positions.
    """

    def __init__(
        self, name: str, samples: int, *, batch: int = 32, seed: int = 0, split: str = "train"
    ) -> None:
        """Draw from the world of a model; raises ZooError for an unknown model or split, or no samples."""
        if samples < 1 or batch < 1:
            raise ZooError(f"{samples} samples in batches of {batch} are none; both must be at least 1")
        self.name, self.samples, self.batch, self.seed, self.split = name, samples, batch, seed, split
        self.world = load_world(name)
        self._fed = feeder(name)
        self._last: tuple[int, Any] = (-1, None)
        self._more: dict[str, Any] = {}

    def with_arguments(self, **more: Any) -> Samples:
        """The same samples with further arguments for the model, such as a pipeline's `num_inference_steps`."""
        other = copy.copy(self)
        other._more = {**self._more, **more}
        return other

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[number] for number in range(len(self)))

    def __len__(self) -> int:
        return (self.samples + self.batch - 1) // self.batch

    def truth(self, number: int) -> Any:
        """The batch of the world behind input `number`."""
        if not 0 <= number < len(self):
            raise IndexError(f"there are inputs 0 to {len(self) - 1}, and {number} was asked for")
        if self._last[0] != number:
            count = min(self.batch, self.samples - number * self.batch)
            drawn = self.world.sample(count, seed=self._seed(number), split=self.split)
            self._last = number, drawn
        return self._last[1]

    @property
    def values(self) -> Mapping[str, tuple[str, ...]]:
        """What the values of each factor are called."""
        return VALUES[entry(self.name).world]

    def labels(self, number: int, extent: tuple[int, ...]) -> dict[str, Tensor]:
        """Each factor's value at each position of input `number`, as `anylens.zoo.labels.labels_of` gives them."""
        return labels_of(entry(self.name).world, self.truth(number), self[number], extent)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return {**self._fed(self.truth(number), self._seed(number)), **self._more}

    def _seed(self, number: int) -> int:
        return self.seed * 1_000_003 + number


Feeder = Callable[[Any, int], dict[str, Any]]


def feeder(name: str) -> Feeder:
    """What turns a batch of the world, and a seed, into the model's arguments.

    Raises ZooError where a model takes no samples.
    """
    known = entry(name)
    if name not in _FEEDERS:
        raise ZooError(f"{name} takes no samples of {known.world}; give inputs of your own")
    processor = load_processor(name) if known.processor_class is not None else None
    make = _FEEDERS[name]
    return lambda batch, seed: make(batch, processor, seed)


def _pictures(batch: Any, processor: Any, seed: int) -> dict[str, Any]:
    return {"pixel_values": batch.pixel_values}


def _pictures_alone(batch: Any, processor: Any, seed: int) -> dict[str, Any]:
    return {"sample": batch.pixel_values}


def _captioned(batch: Any, processor: Any, seed: int) -> dict[str, Any]:
    words = processor.tokenizer(batch.captions, padding=True, return_tensors="pt")
    return {"pixel_values": batch.pixel_values, **words}


def _sentences(batch: Any, processor: Any, seed: int) -> dict[str, Any]:
    return {"input_ids": batch.input_ids, "attention_mask": batch.mask.long()}


def _sounds(batch: Any, processor: Any, seed: int) -> dict[str, Any]:
    heard = processor.feature_extractor(
        list(batch.waveform.numpy()), sampling_rate=batch.rate, return_tensors="pt"
    )
    return {"input_features": heard.input_features}


def _prompts(batch: Any, processor: Any, seed: int) -> dict[str, Any]:
    return {"prompt": batch.captions}


def _played(batch: Any, processor: Any, seed: int) -> dict[str, Any]:
    """Captions, and what the decoder is given where it plays these melodies: position p writes what frame p holds."""
    model = _musicgen()
    words = processor.tokenizer(batch.captions, padding=True, return_tensors="pt")
    with torch.no_grad():
        codes = model.audio_encoder.encode(batch.waveform[:, None]).audio_codes[0]
    start = model.config.decoder.bos_token_id
    given = before(delayed(codes, empty=start)[..., : codes.shape[-1]], start=start)
    return {**words, "decoder_input_ids": given}


@cache
def _musicgen() -> Any:
    """The model whose codec puts melodies into codes; loaded once."""
    return load_model("melodies-musicgen")


def _latents(batch: Any, processor: Any, seed: int) -> dict[str, Any]:
    return {"latent": latents(batch, seed=seed)}


def latents(batch: ShapesBatch, *, seed: int) -> Tensor:
    """Latents that ask shapes-gan for these scenes: [n, LATENT], from a normal distribution if the scenes are random.

    In each of the groups that the generator makes choices of, one for each factor, the value's number is the largest.
    The next two say where in its cell the object is; the rest are random.
    """
    made = torch.randn(len(batch.scenes), LATENT, generator=torch.Generator().manual_seed(seed))
    first = 0
    for factor, values in FACTORS.items():
        group, wanted = made[:, first : first + len(values)], batch.factors[factor][:, None]
        largest = group.argmax(1, keepdim=True)
        there, here = group.gather(1, largest), group.gather(1, wanted)
        group.scatter_(1, largest, here).scatter_(1, wanted, there)
        first += len(values)
    made[:, first : first + 2] = torch.special.ndtri(_within(batch).clamp(1e-3, 1 - 1e-3))
    return made


def _within(batch: ShapesBatch) -> Tensor:
    """Where each object is between the bounds of its cell, by x and y: [n, 2], 0..1."""
    found = []
    for scene, cell in zip(batch.scenes, batch.factors["cell"].tolist(), strict=True):
        for third, place in ((cell % 3, scene.x), (cell // 3, scene.y)):
            low, high = room(third=third, radius=SIZES[scene.size])
            found.append((place - low) / (high - low))
    return torch.tensor(found).reshape(-1, 2)


_FEEDERS: Mapping[str, Callable[[Any, Any, int], dict[str, Any]]] = {
    "shapes-vit": _pictures,
    "shapes-resnet": _pictures,
    "shapes-clip": _captioned,
    "shapes-vae": _pictures_alone,
    "shapes-diffusion": _prompts,
    "shapes-gan": _latents,
    "vowels-whisper": _sounds,
    "melodies-musicgen": _played,
    "grammar-gpt2": _sentences,
    "grammar-mamba": _sentences,
    "grammar-mamba2": _sentences,
}
