"""Where the class token looks: its attention over the patches, and how much of it lands on the object."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from anylens.lens import Lens
from anylens.report.tour.material import Material

PATTERNS = "blocks.*.attn.hook_pattern"


@dataclass(frozen=True)
class Looking:
    """Attention from the class token to the patches.

    gallery: for the pictures that are shown, as the model has it. on_object: of the attention that goes to patches,
    the share that lands on patches with any of the object, mean over the test pictures. chance: that share if
    attention were the same everywhere.
    """

    gallery: Float[Tensor, "picture layer head patch"]
    on_object: Float[Tensor, "layer head"]
    chance: float

    @property
    def by_layer(self) -> Float[Tensor, "layer"]:
        """The share on the object in each layer, mean over its heads."""
        return self.on_object.mean(1)

    @property
    def best(self) -> tuple[int, int]:
        """The layer and head with the largest share."""
        return divmod(int(self.on_object.argmax()), self.on_object.shape[1])


def look(lens: Lens, material: Material) -> Looking:
    """Measure where the class token looks."""
    seen = _from_class_token(lens, material.test.inputs)
    covered = material.test.covered(seen.shape[-1])
    share = (seen * covered[:, None, None]).sum(-1) / seen.sum(-1)
    return Looking(
        gallery=_from_class_token(lens, material.gallery.inputs),
        on_object=share.mean(0),
        chance=covered.float().mean().item(),
    )


@torch.no_grad()
def _from_class_token(lens: Lens, inputs: Tensor) -> Float[Tensor, "picture layer head patch"]:
    _, cache = lens.run_with_cache(pixel_values=inputs, points=PATTERNS, stop_early=True)
    return torch.stack([pattern[:, :, 0, 1:] for pattern in cache.values()], 1)
