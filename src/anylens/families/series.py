"""Series: several channels over time, each cut into patches of steps."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from anylens.core.errors import AxisError
from anylens.families.family import Family, Matches
from anylens.families.layouts import Layout, Place
from anylens.families.sizes import free, numbers, picture


@dataclass(frozen=True)
class Spans(Layout):
    """Patches of a series: position n spans `length` steps from `start + n * stride` on.

    A position is (patch,) or (channel, patch). `prefix` names tokens that stand before the patches.
    """

    length: int
    stride: int
    start: int = 0
    prefix: tuple[str, ...] = ()

    def where(self, position: tuple[int, ...], extent: tuple[int, ...]) -> Place:
        if len(position) != len(extent) or len(extent) not in (1, 2):
            raise AxisError(f"Place (patch,) or (channel, patch), not {position} within {extent}.")
        if any(not 0 <= index < size for index, size in zip(position, extent, strict=True)):
            raise AxisError(f"Position {position} does not lie within {extent}.")
        channel = position[0] if len(position) == 2 else None
        beside = "" if channel is None else f", channel {channel}"
        patch = position[-1] - len(self.prefix)
        if patch < 0:
            return Place(f"{self.prefix[position[-1]]} token{beside}", channel=channel)
        begin = self.start + patch * self.stride
        steps = (begin, begin + self.length)
        return Place(f"steps {begin} to {steps[1] - 1}{beside}", steps=steps, channel=channel)


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build a few series of the length and number of channels that the model was made for."""
    config: Any = model.config
    batch = free((2, 3, 7, 11), numbers(config))
    return {"past_values": picture(batch, config.context_length, config.num_input_channels)}


def layout(model: nn.Module) -> Spans:
    """Read the patches off the config; where they do not fill the series, its first steps are left out."""
    config: Any = model.config
    length, stride = config.patch_length, config.patch_stride
    count = (max(config.context_length, length) - length) // stride + 1
    start = config.context_length - (length + stride * (count - 1))
    return Spans(length, stride, start, ("class",) if config.use_cls_token else ())


family = Family(
    name="series",
    matches=Matches(model_types=("patchtst",), takes=("past_values",)),
    example=example,
    axes={"window": "channel"},  # each channel is a row of its own to attention
    layout=layout,
)
