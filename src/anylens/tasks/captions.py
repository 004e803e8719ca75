"""Contrastive encoders: the nearest of all captions is what the model takes a picture for."""

from collections.abc import Mapping
from functools import cached_property
from itertools import product
from typing import Any

import torch
from torch import Tensor

from anylens.tasks.inputs import Given
from anylens.tasks.task import Factors, Task
from anylens.zoo.feeding import Samples
from anylens.zoo.worlds.shapes import Scene

NAMED = ("colour", "shape", "size", "background")


class Captions(Task):
    """Brings pictures near their captions."""

    def added(self, samples: Samples, number: int, given: Given) -> Given:
        return {"return_loss": True}

    def truth(self, inputs: Any, number: int) -> Factors:
        found: Factors = inputs.truth(number).factors
        return found

    @cached_property
    def choices(self) -> tuple[Tensor, Factors]:
        """Every colour, shape, size and background of an object in the centre: the captions in the joint space, and
        what each says.
        """
        said = list(product(*(self.values[name] for name in NAMED)))
        captions = [_scene(dict(zip(NAMED, one, strict=True))).caption for one in said]
        with torch.no_grad():
            words = self.lens.processor.tokenizer(captions, padding=True, return_tensors="pt")
            found = torch.nn.functional.normalize(self.net.get_text_features(**words).pooler_output, dim=-1)
        numbers = torch.tensor(list(product(*(range(len(self.values[name])) for name in NAMED))))
        return found, dict(zip(NAMED, numbers.T, strict=True))

    @torch.no_grad()
    def shown(self, given: Any) -> Factors:
        captions, said = self.choices
        found = self.net.get_image_features(pixel_values=given["pixel_values"]).pooler_output
        nearest = (found @ captions.T).argmax(-1)
        return {name: numbers[nearest] for name, numbers in said.items()}

    def loss(self, output: Any, given: Any) -> Tensor:
        loss: Tensor = output.loss
        return loss


def _scene(said: Mapping[str, str]) -> Scene:
    shape, colour, size, background = (said[name] for name in ("shape", "colour", "size", "background"))
    return Scene(shape=shape, colour=colour, size=size, background=background, x=16, y=16)
