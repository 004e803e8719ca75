"""Vision transformers of transformers: a picture cut into patches."""

from typing import Any

import torch
from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.layouts import Patches
from anylens.families.sizes import first, free, numbers, pair, picture, picture_settings
from anylens.families.windows import Windows

# model_type -> the tokens that stand before the patches; register tokens follow by the config
PREFIX_TOKENS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("vit", "vit_msn", "dinov2", "dinov2_with_registers", "dinov3_vit"), ("class",)),
    **dict.fromkeys(("clip_vision_model", "metaclip_2_vision_model"), ("class",)),
    **dict.fromkeys(("beit", "data2vec-vision"), ("class",)),
    "deit": ("class", "distillation"),
    **dict.fromkeys(("aimv2_vision_model", "ijepa", "siglip_vision_model", "swin", "swinv2"), ()),
}
WINDOWED = ("swin", "swinv2")  # attention within windows, which every second block shifts
# models whose own config is of text and picture, though they take the picture alone
PICTURE_ONLY: dict[str, tuple[str, ...]] = {"CLIPForImageClassification": ("class",)}


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build a few pictures of the size that the model was made for."""
    settings = picture_settings(model.config)
    channels = first(settings, "num_channels", "in_channels") or 3
    batch = free((2, 3, 5), numbers(settings))
    return {"pixel_values": picture(batch, channels, *pair(settings.image_size))}


def layout(model: nn.Module) -> Patches:
    """Read the size of the patches, their grid, the tokens before them and any windows off the config."""
    settings = picture_settings(model.config)
    return patches(settings, _prefix(model, settings))


def patches(settings: Any, prefix: tuple[str, ...]) -> Patches:
    """Return the layout of a picture's patches behind the tokens that stand before them."""
    (height, width), patch = pair(settings.image_size), pair(settings.patch_size)
    grid = (height // patch[0], width // patch[1])
    window = first(settings, "window_size") if settings.model_type in WINDOWED else None
    return Windows(patch, grid, prefix, window=window) if window else Patches(patch, grid, prefix)


def _prefix(model: nn.Module, settings: Any) -> tuple[str, ...]:
    names = PREFIX_TOKENS.get(settings.model_type) or PICTURE_ONLY.get(type(model).__name__, ())
    registers = first(settings, "num_register_tokens") or 0
    return (*names, *(f"register {number}" for number in range(registers)))


family = Family(
    name="vision transformer",
    matches=Matches(model_types=tuple(PREFIX_TOKENS), classes=tuple(PICTURE_ONLY), takes=("pixel_values",)),
    example=example,
    layout=layout,
    preprocess="AutoImageProcessor",
)
