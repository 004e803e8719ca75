"""Pictures and text in one space: two towers of transformers whose embeddings are compared."""

from typing import Any

import torch
from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.layouts import Parts, Tokens
from anylens.families.named import Named
from anylens.families.sizes import free, numbers, text_settings, tokens
from anylens.families.vision_transformer import example as pictures
from anylens.families.vision_transformer import patches

MODEL_TYPES = ("clip", "metaclip_2")
PREFIX = ("class",)  # what stands before the patches


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build a few pictures and another number of texts, each ended as the text tower wants it."""
    config: Any = model.config
    settings = text_settings(config)
    shown = pictures(model)
    taken = numbers(settings) | {len(shown["pixel_values"])}
    shape = (free((5, 3, 7), taken), free((7, 9, 11, 13), taken, settings.max_position_embeddings))
    special = {value for name, value in vars(settings).items() if name.endswith("_token_id")}
    ids = tokens(settings.vocab_size, shape, {value for value in special if isinstance(value, int)})
    ids[:, -1] = min(settings.eos_token_id, settings.vocab_size - 1)
    return {"input_ids": ids, **shown}


def layout(model: nn.Module) -> Parts:
    """Tokens in the text tower; patches behind a class token in the other."""
    config: Any = model.config
    return Parts((("text", Tokens()), ("vision", patches(config.vision_config, PREFIX))))


family = Family(
    name="contrastive",
    matches=Matches(model_types=MODEL_TYPES, takes=("input_ids", "pixel_values")),
    example=example,
    prefixes={"vision_model": "vision", "text_model": "text"},
    points={
        # projected into the joint space; its length is taken out only in what follows
        "vision.hook_joint": Named("visual_projection.hook_out", "batch d_joint"),
        "text.hook_joint": Named("text_projection.hook_out", "batch d_joint"),
        # divided by its norm: products of these are the cosines that the logits scale
        "vision.hook_joint_normalized": Named("op.div.0.hook_out", "batch d_joint"),
        "text.hook_joint_normalized": Named("op.div.1.hook_out", "batch d_joint"),
    },
    layout=layout,
    preprocess="AutoProcessor",
)
