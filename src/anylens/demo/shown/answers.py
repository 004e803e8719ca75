"""Pictures that a model names, with its likeliest answers."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from anylens.core.markup import Html
from anylens.demo.shown.pictures import picture
from anylens.demo.shown.shown import LISTED, Given, Shown, bars
from anylens.features.kinds import Behind
from anylens.tasks.task import Task


@dataclass(frozen=True)
class Answers(Shown):
    """Classes of pictures."""

    into: ClassVar[str] = "picture"
    out: ClassVar[str] = "answers"

    def given(self, task: Task, given: Given, behind: Behind) -> list[Html]:
        """Return the pictures."""
        return [picture(one / 2 + 0.5) for one in given["pixel_values"]]

    @torch.no_grad()
    def made(self, task: Task, given: Given) -> list[Html]:
        """Return the likeliest classes."""
        chances = task.net(**given).logits.softmax(-1)
        best = chances.topk(LISTED)
        names = task.net.config.id2label
        return [
            bars([(names[place], chance) for place, chance in zip(places, values, strict=True)])
            for places, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
