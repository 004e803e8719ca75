"""Pictures that a model makes, with what the judge sees in them."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from anylens.core.markup import Html, tag
from anylens.demo.shown.shown import Given, Shown
from anylens.features.kinds import Behind
from anylens.features.kinds.made import pictures_in
from anylens.features.kinds.picture import as_media
from anylens.tasks.task import Task
from anylens.zoo.measure.judge import judged


@dataclass(frozen=True)
class Drawn(Shown):
    """Pictures drawn of captions."""

    into: ClassVar[str] = "asked for"
    out: ClassVar[str] = "drawn"

    def given(self, task: Task, given: Given, behind: Behind) -> list[Html]:
        """Return the captions."""
        return [tag("q", caption) for caption in given["prompt"]]

    @torch.no_grad()
    def made(self, task: Task, given: Given) -> list[Html]:
        """Return pictures with the judge's verdicts."""
        pixels = pictures_in(task.net(**given))
        assert pixels is not None
        return seen(pixels)


@dataclass(frozen=True)
class Invented(Drawn):
    """Pictures made of random numbers."""

    into: ClassVar[str] = "made of"

    def given(self, task: Task, given: Given, behind: Behind) -> list[Html]:
        """Return the first numbers."""
        return [
            tag("code", " ".join(f"{number:+.1f}" for number in latent[:4].tolist()), " …")
            for latent in given["latent"]
        ]


@dataclass(frozen=True)
class GivenBack(Drawn):
    """Pictures that are given back."""

    into: ClassVar[str] = "given"
    out: ClassVar[str] = "given back"

    def given(self, task: Task, given: Given, behind: Behind) -> list[Html]:
        """Return the pictures that went in."""
        return [picture(one / 2 + 0.5) for one in given["sample"]]


def picture(pixels: Tensor, name: str = "picture") -> Html:
    """Return a picture, `[channel, height, width]`, 0..1, in the page itself."""
    return tag("img", src=as_media(pixels.detach().float().cpu()).address, alt=name, class_="shot")


def seen(pixels: Tensor) -> list[Html]:
    """Return pictures of the world of shapes, `[n, channel, height, width]`, 0..1, with what the judge sees."""
    return [
        tag("figure", picture(one, what), tag("figcaption", what))
        for one, what in zip(pixels, judged(pixels.clamp(0, 1)).labels, strict=True)
    ]
