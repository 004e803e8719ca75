"""Language models that read pictures: a vision tower, a projector, and a token for each patch among the text."""

from typing import Any

import torch
from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.interleaved import Interleaved
from anylens.families.layouts import Parts
from anylens.families.named import Named
from anylens.families.sizes import free, numbers, text_settings, tokens
from anylens.families.vision_transformer import PREFIX_TOKENS, patches
from anylens.families.vision_transformer import example as pictures

MODEL_TYPES = ("llava", "vipllava")


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build a picture for each row, with text before and behind its tokens."""
    config: Any = model.config
    settings = text_settings(config)
    shown = pictures(model)
    each, rows = _each(config), len(shown["pixel_values"])
    text = free((6, 7, 8, 9), {size - each for size in numbers(settings) | numbers(config.vision_config)})
    special = {value for name, value in vars(settings).items() if name.endswith("_token_id")}
    ordinary = {value for value in special if isinstance(value, int)} | {config.image_token_id}
    ids = tokens(settings.vocab_size, (rows, text), ordinary)
    image = torch.full((rows, each), config.image_token_id)
    return {"input_ids": torch.cat([ids[:, :2], image, ids[:, 2:]], 1), **shown}


def _kept(config: Any) -> tuple[str, ...]:
    """Return the tokens before the patches that the language model gets too."""
    full = getattr(config, "vision_feature_select_strategy", "default") == "full"
    return PREFIX_TOKENS.get(config.vision_config.model_type, ()) if full else ()


def _each(config: Any) -> int:
    grid = patches(config.vision_config, ()).grid
    return grid[0] * grid[1] + len(_kept(config))


def layout(model: nn.Module) -> Parts:
    """Patches in the tower and the projector; text with patches in it in the language model."""
    config: Any = model.config
    tower = PREFIX_TOKENS.get(config.vision_config.model_type, ())
    passed = patches(config.vision_config, _kept(config))
    language = Interleaved(config.image_token_id, passed, _each(config))
    return Parts(
        (
            ("vision", patches(config.vision_config, tower)),
            ("projector", passed),
            ("language", language),
        )
    )


family = Family(
    name="vision-language",
    matches=Matches(model_types=MODEL_TYPES, takes=("input_ids", "pixel_values")),
    example=example,
    prefixes={
        "model.vision_tower": "vision",
        "model.language_model": "language",
        "vision_tower": "vision",
        "language_model": "language",
    },
    points={
        "projector.hook_in": Named("model.multi_modal_projector.hook_in", "batch pos d_vision"),
        "projector.hook_out": Named("model.multi_modal_projector.hook_out", "batch pos d_model"),
    },
    layout=layout,
    preprocess="AutoProcessor",
)
