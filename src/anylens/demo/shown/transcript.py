"""Sounds that a model writes down."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from anylens.core.markup import Html, tag
from anylens.demo.shown.shown import Given, Shown, address_in
from anylens.features.kinds import Behind
from anylens.features.kinds.sound import heard, marked_sound
from anylens.tasks.task import Task


@dataclass(frozen=True)
class Transcript(Shown):
    """Sounds with what is written of them."""

    into: ClassVar[str] = "sound"
    out: ClassVar[str] = "written"

    def given(self, task: Task, given: Given, behind: Behind) -> list[Html]:
        """Return players over waveform and spectrogram."""
        assert behind.sound is not None
        views = [heard(sound.float(), behind.rate) for sound in behind.sound]
        return [marked_sound(view, [], address_in(view)) for view in views]

    @torch.no_grad()
    def made(self, task: Task, given: Given) -> list[Html]:
        """Return the transcripts."""
        tokens = task.net.generate(given["input_features"])
        texts = task.lens.processor.batch_decode(tokens, skip_special_tokens=True)
        return [tag("q", text.strip() or "(nothing)", class_="said") for text in texts]
