"""What the tour is given: pictures with the truth about them, for a model that names two things in each."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Pictures:
    """Pictures with the truth about them.

    inputs: what the model takes. pixels: what a person sees, 0..1. mask: how much of each pixel the object covers,
    0..1. answers: the right label of each. captions: each picture in words.
    """

    inputs: Float[Tensor, "n channel height width"]
    pixels: Float[Tensor, "n channel height width"]
    mask: Float[Tensor, "n height width"]
    answers: Int[Tensor, "n"]
    captions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, places: slice) -> "Pictures":
        return Pictures(
            self.inputs[places],
            self.pixels[places],
            self.mask[places],
            self.answers[places],
            self.captions[places],
        )

    def covered(self, patches: int) -> Tensor:
        """Return which of a picture's square patches hold any of the object: [n, patches], by row and column."""
        side = round(patches**0.5)
        return torch.nn.functional.adaptive_avg_pool2d(self.mask, (side, side)).flatten(1) > 0


@dataclass(frozen=True)
class Labels:
    """The model's labels: two words each, such as "red circle", and for every label the number of each word."""

    names: tuple[str, ...]
    colours: tuple[str, ...]
    shapes: tuple[str, ...]

    @property
    def colour(self) -> Int[Tensor, "label"]:
        """The number of each label's colour."""
        return torch.tensor([self.colours.index(name.split()[0]) for name in self.names])

    @property
    def shape(self) -> Int[Tensor, "label"]:
        """The number of each label's shape."""
        return torch.tensor([self.shapes.index(name.split()[1]) for name in self.names])


@dataclass(frozen=True)
class Material:
    """All that the tour is given.

    test: pictures that the model was not trained on. gallery: some of these to show. clean, corrupted: pairs that
    differ in colour only. towards, away: the same scenes in the colour to steer to and the one to steer from.
    steered: other pictures of the colour to steer from. reference: pictures for mean values. script: the code shown,
    by section.
    """

    model: str
    facts: dict[str, Any]
    labels: Labels
    test: Pictures
    gallery: Pictures
    clean: Pictures
    corrupted: Pictures
    towards: Pictures
    away: Pictures
    steered: Pictures
    reference: Pictures
    script: dict[str, str]

    @property
    def target(self) -> str:
        """The colour to steer to."""
        return self.labels.names[int(self.towards.answers[0])].split()[0]

    @property
    def origin(self) -> str:
        """The colour to steer from."""
        return self.labels.names[int(self.away.answers[0])].split()[0]
