"""Flows: layers that can be undone, each with the logarithm of how much it stretches space."""

from inspect import signature
from typing import Any

import torch
from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.layouts import Cells, Layout, Tokens
from anylens.families.named import Named
from anylens.families.sizes import free, picture


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build a few samples; latents where what runs is the inverse."""
    shape = _shape(model)
    return {next(iter(signature(model.forward).parameters)): picture(free((2, 3, 5), set(shape)), *shape)}


def _shape(model: Any) -> tuple[int, ...]:
    return tuple(model.shape)


def points(model: nn.Module) -> dict[str, Named]:
    """Name what enters and leaves each layer, whichever way it is gone through, and its log-determinant."""
    axes = "batch channel height width" if len(_shape(model)) == 3 else "batch feature"
    return {
        "flow.{n}.hook_in": Named("layers.{n}.hook_in", axes),
        "flow.{n}.hook_out": Named("layers.{n}.hook_out", axes),
        "flow.{n}.hook_log_det": Named("layers.{n}.hook_out[1]", "batch"),
    }


def layout(model: nn.Module) -> Layout:
    """Cells of a picture, or features by their number."""
    return Cells() if len(_shape(model)) == 3 else Tokens((("", "x"),))


family = Family(
    name="flow",
    matches=Matches(classes=("anylens.zoo.nets.flow.RealNVP",)),
    example=example,
    points=points,
    layout=layout,
)
