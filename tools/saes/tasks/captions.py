"""Contrastive encoders: the nearest of all captions is what the model takes a picture for."""

from functools import cached_property
from itertools import product
from typing import Any

import torch
from torch import Tensor

from anylens.zoo.worlds.shapes import Scene
from tools.saes.tasks.task import Factors, Task

NAMED = ("colour", "shape", "size", "background")


class Captions(Task):
    """Brings pictures near their captions."""

    def inputs(self, samples: int, *, seed: int, split: str) -> Any:
        return _Paired(super().inputs(samples, seed=seed, split=split))

    def truth(self, inputs: Any, number: int) -> Factors:
        return inputs.samples.truth(number).factors

    @cached_property
    def choices(self) -> tuple[Tensor, Factors]:
        """Every colour, shape, size and background of an object in the centre: the captions in the joint space, and
        what each says.
        """
        said = list(product(*(self.values[name] for name in NAMED)))
        captions = [Scene(**dict(zip(NAMED, one, strict=True)), x=16, y=16).caption for one in said]
        with torch.no_grad():
            words = self.lens.processor.tokenizer(captions, padding=True, return_tensors="pt")
            found = torch.nn.functional.normalize(
                self.lens.model.get_text_features(**words).pooler_output, dim=-1
            )
        numbers = torch.tensor(list(product(*(range(len(self.values[name])) for name in NAMED))))
        return found, dict(zip(NAMED, numbers.T, strict=True))

    @torch.no_grad()
    def shown(self, given: Any) -> Factors:
        captions, said = self.choices
        found = self.lens.model.get_image_features(pixel_values=given["pixel_values"]).pooler_output
        nearest = (found @ captions.T).argmax(-1)
        return {name: numbers[nearest] for name, numbers in said.items()}

    def loss(self, output: Any, given: Any) -> Tensor:
        return output.loss


class _Paired:
    """Samples that ask for the loss too."""

    def __init__(self, samples: Any) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> Any:
        if number >= len(self):
            raise IndexError(number)
        return {**self.samples[number], "return_loss": True}
