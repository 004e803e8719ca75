"""Pictures that a model makes: of a latent, or of noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from anylens.core.markup import Html
from anylens.core.tree import leaves
from anylens.features.kinds.kind import Address, Behind, Kind, Mark, Scene, View
from anylens.features.kinds.picture import CHANNELS, FILE, as_media, marked_picture

LATENTS = ("latent", "z", "noise")


@dataclass(frozen=True)
class Made(Kind):
    """Pictures in the output of a model that is given a latent."""

    needs_output: ClassVar[bool] = True

    @classmethod
    def of(cls, scene: Scene) -> Self | None:
        """Fit where the model takes a latent."""
        return cls() if any(name in scene.given for name in LATENTS) else None

    def view(self, given: Mapping[str, Any], output: Any, row: int, behind: Behind) -> View:
        """Return the picture that was made."""
        found = pictures_in(output)
        return View({} if found is None else {FILE: as_media(found[row])})

    def html(self, view: View, marks: Sequence[Mark], address: Address) -> Html:
        """Return the picture with its cells marked."""
        return marked_picture(address(FILE), marks)


def pictures_in(output: Any) -> Tensor | None:
    """Return the pictures of an output as `[sample, channel, height, width]`, 0..1; None where it holds none."""
    images = getattr(output, "images", None)
    if images is not None:
        return _stacked(images)
    for _, value in leaves(output):
        if value.ndim == 4 and value.shape[1] in CHANNELS and value.is_floating_point():
            found = value.detach().float().cpu()
            return ((found + 1) / 2 if float(found.min()) < 0 else found).clamp(0, 1)
    return None


def _stacked(images: Any) -> Tensor:
    """Read what a pipeline of diffusers gives: PIL images, an array with channels last, or a tensor."""
    if isinstance(images, Tensor):
        return images.detach().float().cpu().clamp(0, 1)
    if hasattr(images, "shape"):
        return torch.as_tensor(images).float().permute(0, 3, 1, 2)
    rows = [torch.frombuffer(bytearray(one.convert("RGB").tobytes()), dtype=torch.uint8) for one in images]
    size = images[0].size
    return torch.stack(rows).reshape(-1, size[1], size[0], 3).permute(0, 3, 1, 2) / 255
