"""The modalities, in the order in which they are listed. A new one is a file with one value, and its row here."""

from anylens.demo.modalities.speech import SPEECH
from anylens.demo.modality import Modality

ALL: tuple[Modality, ...] = (SPEECH,)
MODALITIES = {one.name: one for one in ALL}
