"""Generators and discriminators: a latent grown into a picture, a picture shrunk to a judgement."""

from typing import Any

import torch
from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.layouts import Cells
from anylens.families.named import Named
from anylens.families.sizes import picture

CLASSES = ("Generator", "Discriminator", "GAN")
BATCH = 3
GRID = "batch channel height width"


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build a few latents, or for a discriminator pictures."""
    part: Any = getattr(model, "generator", model)
    if hasattr(part, "latent"):
        return {"latent": picture(BATCH, part.latent)}
    size = part.head.kernel_size[0] * 2 ** len(part.stages)
    return {"picture": picture(BATCH, part.stages[0].conv.in_channels, size, size)}


def points(model: nn.Module) -> dict[str, Named]:
    """Name the latent, before and after its choices, the maps of each stage, the picture and the logit."""
    if hasattr(model, "generator"):
        made = {
            "hook_latent": Named("generator.hook_in", "batch d_latent"),
            "hook_choices": Named("generator.choices.hook_out", "batch d_latent"),
            "hook_picture": Named("generator.hook_out", GRID),
            "hook_logit": Named("discriminator.hook_out", "batch"),
        }
        return made | _stages("generator.") | _stages("discriminator.")
    if hasattr(model, "latent"):
        return {
            "hook_latent": Named("hook_in", "batch d_latent"),
            "hook_choices": Named("choices.hook_out", "batch d_latent"),
            **_stages(""),
            "hook_picture": Named("hook_out", GRID),
        }
    return {"hook_picture": Named("hook_in", GRID), **_stages(""), "hook_logit": Named("hook_out", "batch")}


def _stages(prefix: str) -> dict[str, Named]:
    return {
        f"{prefix}stages.{{n}}.hook_pre": Named(f"{prefix}stages.{{n}}.norm.hook_out", GRID),
        f"{prefix}stages.{{n}}.hook_post": Named(f"{prefix}stages.{{n}}.activation.hook_out", GRID),
    }


family = Family(
    name="gan",
    matches=Matches(classes=tuple(f"anylens.zoo.nets.gan.{name}" for name in CLASSES)),
    example=example,
    points=points,
    layout=Cells(),
)
