"""Diffusion transformers of diffusers: latents cut into patches, alone (DiT) or beside a prompt (SD3)."""

from typing import Any

import torch
from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.layouts import Layout, Patches, Tokens
from anylens.families.named import Named
from anylens.families.side_by_side import Joint
from anylens.families.sizes import first, free, numbers, pair, picture

CLASSES = ("DiTTransformer2DModel", "SD3Transformer2DModel")
PROMPT = (7, 9, 11, 13)  # tokens
TIMES = (40.0, 600.0, 301.0, 7.0, 950.0)  # one for each row
TEXT = Tokens((("", "encoder_hidden_states"),))


def example(model: nn.Module) -> dict[str, Any]:
    """Build a few noisy latents, each at a time of its own, and the classes or prompts they are to follow."""
    config: Any = model.config
    batch = free((2, 3, 5), numbers(config))
    given = {
        "hidden_states": picture(batch, config.in_channels, *pair(config.sample_size)),
        "timestep": torch.tensor(TIMES[:batch]),
    }
    if _prompted(model):
        return given | prompts(config, batch)
    return {**given, "class_labels": torch.arange(batch) % config.num_embeds_ada_norm}


def prompts(config: Any, batch: int) -> dict[str, Any]:
    """Draw what stands for prompts: a vector for each token, and one for the whole."""
    return {
        "encoder_hidden_states": picture(batch, free(PROMPT, numbers(config)), config.joint_attention_dim),
        "pooled_projections": picture(batch, config.pooled_projection_dim),
    }


def _prompted(model: nn.Module) -> bool:
    return first(model.config, "joint_attention_dim") is not None


def layout(model: nn.Module) -> Layout:
    """Patches, and where there is a prompt its tokens behind them."""
    config: Any = model.config
    (height, width), patch = pair(config.sample_size), pair(config.patch_size)
    grid = height // patch[0], width // patch[1]
    patches = Patches(patch, grid)
    if not _prompted(model):
        return patches
    return Joint((("image", patches), ("text", TEXT)), (("image", grid[0] * grid[1]),))


def points(model: nn.Module) -> dict[str, Named]:
    """Name what all blocks are modulated by: the time and the whole prompt."""
    return {"hook_time_embed": Named("time_text_embed.hook_out", "batch d_time")} if _prompted(model) else {}


family = Family(
    name="diffusion transformer",
    matches=Matches(classes=tuple(f"diffusers.*.{name}" for name in CLASSES)),
    example=example,
    prefixes={"hidden_states": "image", "encoder_hidden_states": "text"},
    points=points,
    layout=layout,
)
