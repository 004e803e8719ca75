"""What each kind of model is fed, what is true of its rows, and what its outputs show; by the name of the task."""

from collections.abc import Mapping

from anylens.tasks.captions import Captions
from anylens.tasks.classes import Classes
from anylens.tasks.inventions import Inventions
from anylens.tasks.melodies import Melodies
from anylens.tasks.prompts import Prompts
from anylens.tasks.reconstructions import Reconstructions
from anylens.tasks.task import Task
from anylens.tasks.transcripts import Transcripts
from anylens.tasks.words import Words

TASKS: Mapping[str, type[Task]] = {
    "captions": Captions,
    "classes": Classes,
    "inventions": Inventions,
    "melodies": Melodies,
    "prompts": Prompts,
    "reconstructions": Reconstructions,
    "transcripts": Transcripts,
    "words": Words,
}
