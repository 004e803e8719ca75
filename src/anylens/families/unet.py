"""U-Nets of diffusers: denoisers that work on a grid, coarser on the way down and finer on the way up."""

from typing import Any

import torch
from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.layouts import Cells, Layout, Patches, Tokens
from anylens.families.named import Named
from anylens.families.side_by_side import Crossed
from anylens.families.sizes import first, free, numbers, pair, picture

CLASSES = ("UNet2DModel", "UNet2DConditionModel")
SIDE = 16  # of the example's grid where the config names none
PROMPT = (7, 9, 11, 13)  # tokens
TIMES = (40.0, 600.0, 301.0, 7.0, 950.0)  # one for each row


def example(model: nn.Module) -> dict[str, Any]:
    """Build a few noisy latents, each at a time of its own, and what the model is conditioned on."""
    config: Any = model.config
    taken = numbers(config) | set(config.block_out_channels)
    batch = free((2, 3, 5), taken)
    height, width = pair(config.sample_size or SIDE)
    given: dict[str, Any] = {
        "sample": picture(batch, config.in_channels, height, width),
        "timestep": torch.tensor(TIMES[:batch]),
    }
    if first(config, "cross_attention_dim") is not None:
        given["encoder_hidden_states"] = picture(batch, free(PROMPT, taken), _prompt_width(config))
    if first(config, "class_embed_type", "num_class_embeds") is not None:
        given["class_labels"] = _classes(config, batch)
    if first(config, "addition_embed_type") == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        given["added_cond_kwargs"] = {
            "text_embeds": picture(batch, pooled),
            "time_ids": torch.tensor([[height, width, 0.0, 0.0, height, width]]).repeat(batch, 1),
        }
    return given


def _prompt_width(config: Any) -> int:
    width = first(config, "encoder_hid_dim") or config.cross_attention_dim
    return int(width[0] if isinstance(width, (list, tuple)) else width)


def _classes(config: Any, batch: int) -> torch.Tensor:
    if config.class_embed_type == "projection":
        return picture(batch, config.projection_class_embeddings_input_dim)
    if config.class_embed_type == "simple_projection":
        return picture(batch, config.projection_class_embeddings_input_dim or config.cross_attention_dim)
    if config.class_embed_type == "identity":
        return picture(batch, 4 * config.block_out_channels[0])
    return torch.arange(batch) % (config.num_class_embeds or batch)


def layout(model: nn.Module) -> Layout:
    """Cells of the grid, row by row where attention has flattened them; the keys of cross-attention are tokens."""
    config: Any = model.config
    cells = Patches((1, 1), pair(config.sample_size)) if config.sample_size else Cells()
    if first(config, "cross_attention_dim") is None:
        return cells
    return Crossed(cells, Tokens((("", "encoder_hidden_states"),)))


def _prefixes() -> dict[str, str]:
    """Name the parts `down.0.resnets`, `mid.attentions.0`, `up.2.attentions.1`: by place, whatever else there is."""
    parts = {"down_blocks.*": "down.*", "mid_block": "mid", "up_blocks.*": "up.*"}
    kinds = {"resnets": "resnets", "attentions": "attentions", "attentions.*": "attentions.*"}
    kinds["resnets.*"] = "resnets.*"
    return parts | {f"{path}.{a}": f"{name}.{b}" for path, name in parts.items() for a, b in kinds.items()}


family = Family(
    name="u-net",
    matches=Matches(classes=tuple(f"diffusers.*.{name}" for name in CLASSES)),
    example=example,
    prefixes=_prefixes(),
    points={
        "hook_time_embed": Named("time_embedding.hook_out", "batch d_time"),
        "mid.hook_h": Named("mid_block.hook_out", "batch channel height width"),  # the h-space
    },
    aliases={"cross_attention_maps": "*.cross_attn.hook_pattern"},
    layout=layout,
)
