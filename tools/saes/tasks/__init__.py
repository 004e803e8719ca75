"""What each kind of model is fed, what is true of its rows, and what its outputs show; by the name of the task."""

from collections.abc import Mapping

from tools.saes.tasks.captions import Captions
from tools.saes.tasks.classes import Classes
from tools.saes.tasks.inventions import Inventions
from tools.saes.tasks.prompts import Prompts
from tools.saes.tasks.reconstructions import Reconstructions
from tools.saes.tasks.task import Task
from tools.saes.tasks.transcripts import Transcripts
from tools.saes.tasks.words import Words

TASKS: Mapping[str, type[Task]] = {
    "captions": Captions,
    "classes": Classes,
    "inventions": Inventions,
    "prompts": Prompts,
    "reconstructions": Reconstructions,
    "transcripts": Transcripts,
    "words": Words,
}
