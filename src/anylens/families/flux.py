"""Flux of diffusers: text and picture side by side in the double blocks, then as one sequence in the single ones."""

from typing import Any

import torch
from torch import nn

from anylens.families.diffusion_transformer import TEXT, TIMES, prompts
from anylens.families.family import Family, Matches
from anylens.families.layouts import Patches
from anylens.families.named import Named
from anylens.families.side_by_side import Joint
from anylens.families.sizes import free, numbers, picture

GRID = (4, 5)  # patches of the example
USUAL_GRID = (64, 64)  # patches of a picture of 1024 by 1024 pixels


def example(model: nn.Module) -> dict[str, Any]:
    """Build a few noisy latents as rows of patches, each at a time of its own, and prompts they are to follow."""
    config: Any = model.config
    batch = free((2, 3, 5), numbers(config))
    given = prompts(config, batch)
    cells = torch.cartesian_prod(torch.arange(GRID[0]), torch.arange(GRID[1]))
    given |= {
        "hidden_states": picture(batch, len(cells), config.in_channels),
        "timestep": torch.tensor(TIMES[:batch]) / 1000,
        "img_ids": torch.cat([torch.zeros(len(cells), 1), cells], -1),
        "txt_ids": torch.zeros(given["encoder_hidden_states"].shape[1], 3),
    }
    return given | ({"guidance": torch.full((batch,), 3.5)} if config.guidance_embeds else {})


family = Family(
    name="flux",
    matches=Matches(classes=("diffusers.*.FluxTransformer2DModel",)),
    example=example,
    prefixes={
        "transformer_blocks": "double",
        "single_transformer_blocks": "single",
        "hidden_states": "image",
        "encoder_hidden_states": "text",
    },
    points={"hook_time_embed": Named("time_text_embed.hook_out", "batch d_time")},
    layout=Joint((("text", TEXT), ("image", Patches((2, 2), USUAL_GRID)))),
)
