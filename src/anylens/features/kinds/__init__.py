"""The kinds of input that can be shown, tried in this order. A new one is a file with a kind, and its name here."""

from anylens.features.kinds.denoising import Denoising
from anylens.features.kinds.kind import Behind, Kind, Mark, Scene, View
from anylens.features.kinds.made import Made
from anylens.features.kinds.picture import Picture
from anylens.features.kinds.positions import Positions
from anylens.features.kinds.sound import Sound
from anylens.features.kinds.text import Text

KINDS: tuple[type[Kind], ...] = (Denoising, Text, Sound, Picture, Made, Positions)


def kind_of(scene: Scene) -> Kind:
    """Return the first kind that fits; positions in a row, `Positions`, fit always."""
    found = (kind.of(scene) for kind in KINDS)
    return next(kind for kind in found if kind is not None)


__all__ = ["KINDS", "Behind", "Kind", "Mark", "Scene", "View", "kind_of"]
