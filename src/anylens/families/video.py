"""Films: a picture over time, cut into tubelets."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from anylens.core.errors import AxisError
from anylens.families.family import Family, Matches
from anylens.families.layouts import Layout, Parts, Place, box_of, expect_within
from anylens.families.sizes import free, numbers, pair, picture


@dataclass(frozen=True)
class Tubelets(Layout):
    """Tubelets of a film, time first, then rows, then columns: each is a patch over a few frames.

    `grid` counts them in time, height and width; `frames` is how many frames each spans. Where some are masked,
    `given(inputs)` reads which: an encoder sees those that are not, a decoder all, the masked ones last.
    """

    grid: tuple[int, int, int]
    frames: int
    masked_last: bool = False
    seen: tuple[int, ...] = ()  # the tubelets that a mask leaves
    hidden: tuple[int, ...] = ()  # those that it takes

    def given(self, inputs: Any, row: int = 0) -> "Tubelets":
        mask = inputs.get("bool_masked_pos") if isinstance(inputs, Mapping) else None
        if mask is None:
            return self
        hidden = torch.as_tensor(mask)[row].bool().flatten()
        seen = tuple((~hidden).nonzero().flatten().tolist())
        return replace(self, seen=seen, hidden=tuple(hidden.nonzero().flatten().tolist()))

    def where(self, position: tuple[int, ...], extent: tuple[int, ...]) -> Place:
        expect_within(position, extent, 1)
        order = self._order(extent[0])
        _, rows, columns = self.grid
        time, place = divmod(order[position[0]], rows * columns)
        cell = divmod(place, columns)
        frames = (time * self.frames, (time + 1) * self.frames)
        return Place(
            f"tubelet ({time}, {cell[0]}, {cell[1]})", box=box_of(cell, (rows, columns)), frames=frames
        )

    def _order(self, positions: int) -> tuple[int, ...]:
        """Return which tubelet each of so many positions is."""
        whole = tuple(range(math.prod(self.grid)))
        orders = (
            [self.seen + self.hidden, self.hidden] if self.masked_last and self.hidden else [whole, self.seen]
        )
        for order in orders:
            if len(order) == positions:
                return order
        raise AxisError(
            f"{positions} positions are not the {len(whole)} tubelets of this layout. The film has another size, or "
            "some are masked: layout.given(INPUTS) reads which."
        )


def _grid(config: Any) -> tuple[int, int, int]:
    (height, width), patch = pair(config.image_size), pair(config.patch_size)
    return config.num_frames // config.tubelet_size, height // patch[0], width // patch[1]


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build a few films of the size that the model was made for; where it reconstructs them, with a third masked."""
    config: Any = model.config
    batch = free((2, 3, 5), numbers(config))
    size = pair(config.image_size)
    found = {"pixel_values": picture(batch, config.num_frames, config.num_channels, *size)}
    masked = inspect.signature(model.forward).parameters.get("bool_masked_pos")
    if masked is not None and masked.default is inspect.Parameter.empty:
        times, rows, columns = _grid(config)
        row = torch.arange(times * rows * columns) % 3 == 1
        found["bool_masked_pos"] = row.expand(batch, -1).contiguous()
    return found


def layout(model: nn.Module) -> Parts:
    """Read the size of the tubelets and their grid off the config."""
    config: Any = model.config
    seen = Tubelets(_grid(config), config.tubelet_size)
    return Parts((("", seen), ("decoder", replace(seen, masked_last=True))))


family = Family(
    name="video",
    matches=Matches(model_types=("videomae",), takes=("pixel_values",)),
    example=example,
    prefixes={"videomae": "encoder", "decoder": "decoder"},
    layout=layout,
    preprocess="AutoImageProcessor",
)
