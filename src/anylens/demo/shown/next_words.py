"""Beginnings of sentences, with the words that a model expects next."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from anylens.core.markup import Html, tag
from anylens.demo.shown.shown import LISTED, Given, Shown, bars
from anylens.features.kinds import Behind
from anylens.tasks.task import Task
from anylens.zoo.worlds.lexicon import VOCABULARY


@dataclass(frozen=True)
class NextWords(Shown):
    """The likeliest next words."""

    into: ClassVar[str] = "the sentence begins"
    out: ClassVar[str] = "next word"

    def given(self, task: Task, given: Given, behind: Behind) -> list[Html]:
        """Return the words so far, without the sign that a sentence begins with."""
        texts = (" ".join(VOCABULARY[word] for word in row[1:]) for row in given["input_ids"].tolist())
        return [tag("span", f"{text} …", class_="said") for text in texts]

    @torch.no_grad()
    def made(self, task: Task, given: Given) -> list[Html]:
        """Return the likeliest words."""
        best = task.net(**given).logits[:, -1].softmax(-1).topk(LISTED)
        return [
            bars([(VOCABULARY[place], chance) for place, chance in zip(places, values, strict=True)])
            for places, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
