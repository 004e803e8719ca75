"""Regions: masks over several named axes, which need not be a grid as indices of each axis are."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from anylens.core.errors import AxisError
from anylens.running.actions import At


@dataclass(frozen=True, eq=False)
class Region:
    """Where a mask is True, over axes that are named in the mask's order."""

    mask: torch.Tensor
    axes: tuple[str, ...]

    def over(self, value: torch.Tensor, at: At) -> torch.Tensor:
        """Return the mask as it broadcasts against a value at a point.

        Raises AxisError for an axis that the point does not have, or of another size.
        """
        unknown = [axis for axis in self.axes if axis not in at.axes]
        if unknown or value.dim() != len(at.axes):
            what = f"no axis {unknown[0]!r}" if unknown else f"shape {list(value.shape)} in this run"
            raise AxisError(f"{at.name} has {what}. Its axes are {' '.join(at.axes)}.")
        places = [at.axes.index(axis) for axis in self.axes]
        for axis, place, size in zip(self.axes, places, self.mask.shape, strict=True):
            if size not in (1, value.shape[place]):
                raise AxisError(
                    f"A mask of {size} does not fit axis {axis!r} of {at.name}, which has {value.shape[place]}."
                )
        order = sorted(range(len(places)), key=places.__getitem__)
        sizes = dict(zip(places, self.mask.shape, strict=True))
        shape = [sizes.get(place, 1) for place in range(value.dim())]
        return self.mask.permute(order).reshape(shape).to(value.device)


def region_of(mask: Any, axes: tuple[Any, ...]) -> Region:
    """Return a region; refuse what is no mask over these axes."""
    fits = (
        all(isinstance(axis, str) for axis in axes)
        and isinstance(mask, torch.Tensor)
        and mask.dtype == torch.bool
        and mask.dim() == len(axes) == len(set(axes))
    )
    if not fits or not axes:
        what = f"{mask.dtype} {list(mask.shape)}" if isinstance(mask, torch.Tensor) else type(mask).__name__
        raise AxisError(
            f"within takes a mask of booleans and the name of each of its axes, such as within(mask, 'batch', 'pos'), "
            f"and was given {what} and {', '.join(map(repr, axes)) or 'no names'}."
        )
    return Region(mask, axes)


def inside(regions: Iterable[Region], new: torch.Tensor, old: torch.Tensor, at: At) -> torch.Tensor:
    """Return the new value where all regions are, and the old one elsewhere."""
    for region in regions:
        new = torch.where(region.over(old, at), new, old)
    return new
