"""Melodies that a model plays to captions, with what a judge hears in them."""

from dataclasses import dataclass
from typing import ClassVar

from anylens.core.markup import Html, tag
from anylens.demo.shown.shown import Given, Shown, address_in
from anylens.features.kinds import Behind
from anylens.features.kinds.sound import heard, marked_sound
from anylens.tasks.melodies import Melodies
from anylens.tasks.task import Task
from anylens.zoo.worlds.instruments import RATE


@dataclass(frozen=True)
class Melody(Shown):
    """Captions with what is played."""

    into: ClassVar[str] = "asked for"
    out: ClassVar[str] = "played"

    def given(self, task: Task, given: Given, behind: Behind) -> list[Html]:
        """Return the captions."""
        return [tag("q", melody.caption) for melody in given["melodies"]]

    def made(self, task: Task, given: Given) -> list[Html]:
        """Return players over the spectrograms of what is played, each with the instrument and the scale in it."""
        assert isinstance(task, Melodies)
        sounds = task.played(given)
        verdicts = task.heard(sounds, given)
        instruments, scales = (task.values[name] for name in ("instrument", "scale"))
        said = [
            f"{instruments[one]}, {scales[scale] if scale >= 0 else 'no scale'}"
            for one, scale in zip(verdicts["instrument"].tolist(), verdicts["scale"].tolist(), strict=True)
        ]
        views = [heard(sound, RATE) for sound in sounds]
        return [
            tag("figure", marked_sound(view, [], address_in(view)), tag("figcaption", what), class_="played")
            for view, what in zip(views, said, strict=True)
        ]
