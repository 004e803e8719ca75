"""The zoo's models by name."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from anylens.core.errors import ZooError

WEIGHTS_FOLDER = Path(__file__).parent / "weights"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model of the zoo.

    world: the module of `anylens.zoo.worlds` that it was trained on. model_class, processor_class: where to import
    them from, as "module:name"; processor_class is None for a model that takes tensors as they are. measure: the
    module of `anylens.zoo.measure` that scores it.
    """

    name: str
    summary: str
    world: str
    model_class: str
    processor_class: str | None
    measure: str

    @property
    def folder(self) -> Path:
        """Where the package keeps the model's files."""
        return WEIGHTS_FOLDER / self.name


ENTRIES = (
    Entry(
        name="shapes-vit",
        summary="vision transformer that names the colour and shape of the object in a 32 x 32 picture",
        world="shapes",
        model_class="transformers:ViTForImageClassification",
        processor_class="transformers.models.vit.image_processing_pil_vit:ViTImageProcessorPil",
        measure="shapes_vit",
    ),
)


def names() -> tuple[str, ...]:
    """The names of all models, in the catalogue's order."""
    return tuple(known.name for known in ENTRIES)


def entry(name: str) -> Entry:
    """The entry of this name; raises ZooError with the nearest names where there is none."""
    for known in ENTRIES:
        if known.name == name:
            return known
    near = difflib.get_close_matches(name, names())
    hint = f"did you mean {', '.join(near)}?" if near else f"the zoo has {', '.join(names())}"
    raise ZooError(f"the zoo has no model called {name!r}; {hint}")
