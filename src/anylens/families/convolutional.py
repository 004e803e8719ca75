"""Convolutional networks of transformers: a picture as a grid that grows coarser from stage to stage."""

import torch
from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.layouts import Cells
from anylens.families.sizes import first, free, numbers, picture

MODEL_TYPES = tuple(
    "convnext convnextv2 dinov3_convnext efficientnet mobilenet_v1 mobilenet_v2 poolformer regnet resnet".split()
)

SIZE = (96, 128)  # unlike in height and width, and still 3 by 4 cells where a model has divided by 32


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build a few pictures; their size is free."""
    channels = first(model.config, "num_channels", "in_channels") or 3
    batch = free((2, 5), numbers(model.config))
    return {"pixel_values": picture(batch, channels, *SIZE)}


family = Family(
    name="convolutional",
    matches=Matches(model_types=MODEL_TYPES, takes=("pixel_values",)),
    example=example,
    layout=Cells(),
    preprocess="AutoImageProcessor",
)
