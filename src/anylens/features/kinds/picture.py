"""Pictures that a model takes: marked in patches or cells."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from anylens.core.markup import Html, join, tag
from anylens.features.kinds.kind import Address, Behind, Kind, Mark, Scene, View, strongest, told
from anylens.features.media import Media, png

ARGUMENTS = ("pixel_values", "sample", "picture", "x", "input", "image", "images", "0")
CHANNELS = (1, 3)
SIDE = 256  # pixels that a picture is shown with at most
FILE = "picture"


@dataclass(frozen=True)
class Picture(Kind):
    """Pictures in an argument of the model, `[batch, channel, height, width]`.

    Attributes:
        argument: the name of the argument.
        mean, std: what the model's processor takes off the pictures and divides them by, for each channel.
    """

    argument: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, scene: Scene) -> Self | None:
        """Fit where an argument holds pictures."""
        name = next((name for name in ARGUMENTS if _is_pictures(scene.given.get(name))), None)
        if name is None:
            return None
        return cls(name, *_normalisation(scene.lens.processor, scene.given[name]))

    def view(self, given: Mapping[str, Any], output: Any, row: int, behind: Behind) -> View:
        """Return a picture as it was before the processor."""
        mean, std = (torch.tensor(side).reshape(-1, 1, 1) for side in (self.mean, self.std))
        return View({FILE: as_media(given[self.argument][row].detach().float().cpu() * std + mean)})

    def html(self, view: View, marks: Sequence[Mark], address: Address) -> Html:
        """Return the picture with its patches or cells marked."""
        return marked_picture(address(FILE), marks)


def as_media(pixels: Tensor) -> Media:
    """Return a picture, `[channel, height, width]`, 0..1, as PNG, smaller where it is large."""
    step = -(-max(pixels.shape[1:]) // SIDE)
    if step > 1:
        pixels = torch.nn.functional.avg_pool2d(pixels[None], step)[0]
    return png(pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0))


def marked_picture(address: str, marks: Sequence[Mark], *, step: int | None = None) -> Html:
    """Return a picture with marks on it, those of one step only where one is given; what has no place stands below."""
    placed = [mark for mark in marks if mark.place.box is not None]
    best = strongest(placed)
    cells = [_cell(mark, best=mark is best, hidden=step not in (None, mark.step)) for mark in placed]
    shown = tag(
        "div",
        tag("img", src=address, alt="", class_="al-image"),
        tag("svg", *cells, viewBox="0 0 1 1", preserveAspectRatio="none", aria_hidden="true"),
        class_="al-picture",
        role="img",
        aria_label=f"picture {told(marks)}".strip(),
    )
    return join([shown, chips(mark for mark in marks if mark.place.box is None)])


def chips(marks: Iterable[Mark]) -> Html:
    """Return positions that have no place in the input, such as a class token, as words."""
    listed = [tag("span", mark.place.label, class_="al-chip", title=mark.tip, **mark.shown) for mark in marks]
    return tag("div", *listed, class_="al-chips") if listed else Html()


def _cell(mark: Mark, *, best: bool, hidden: bool) -> Html:
    top, left, bottom, right = mark.place.box or (0.0, 0.0, 0.0, 0.0)
    path = f"M{left:.4g} {top:.4g}H{right:.4g}V{bottom:.4g}H{left:.4g}Z"
    name = "al-cell" + " al-best" * best + " al-off" * hidden
    return tag("path", class_=name, d=path, **mark.shown)


def _is_pictures(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.ndim == 4
        and value.shape[1] in CHANNELS
        and value.is_floating_point()
    )


def _normalisation(processor: Any, pictures: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the deviation that pictures were normalised by; else guess from whether any is below 0."""
    processor = getattr(processor, "image_processor", processor)
    mean, std = getattr(processor, "image_mean", None), getattr(processor, "image_std", None)
    if mean is not None and std is not None and getattr(processor, "do_normalize", True):
        return tuple(map(float, mean)), tuple(map(float, std))
    half = (0.5,) * pictures.shape[1]
    return (half, half) if float(pictures.min()) < 0 else ((0.0,) * len(half), (1.0,) * len(half))
