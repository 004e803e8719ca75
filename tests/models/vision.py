"""Models of pictures: plain convolutional ones, vision transformers, windows, and pictures beside text."""

from typing import Any

import torch

from tests.models.common import BATCH, HEADS, HIDDEN, VOCABULARY, WIDTH, Made

IMAGE = {"image_size": 20, "patch_size": 4}  # five by five patches
_TOWER = {
    "hidden_size": WIDTH,
    "intermediate_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
}


def picture(height: int = 20, width: int = 20) -> torch.Tensor:
    return torch.randn(BATCH, 3, height, width)


def _made(kind: str, head: str, pixels: torch.Tensor, **settings: Any) -> Made:
    import transformers

    config = getattr(transformers, f"{kind}Config")(**settings)
    return getattr(transformers, head)(config).eval(), {"pixel_values": pixels}


def vit() -> Made:
    return _made("ViT", "ViTForImageClassification", picture(), **_TOWER, **IMAGE)


def dinov2() -> Made:
    return _made("Dinov2", "Dinov2ForImageClassification", picture(), **_TOWER, **IMAGE)


def dinov2_with_registers() -> Made:
    settings = {**_TOWER, **IMAGE, "num_register_tokens": 4}
    return _made("Dinov2WithRegisters", "Dinov2WithRegistersModel", picture(), **settings)


def clip() -> Made:
    """Both towers; the text has another width, length and number of heads than the picture."""
    import transformers

    text = {"hidden_size": 20, "intermediate_size": 36, "num_attention_heads": 2, "num_hidden_layers": 3}
    ends = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = transformers.CLIPConfig(
        text_config={**text, **ends, "max_position_embeddings": 16},
        vision_config={**_TOWER, **IMAGE},
        projection_dim=14,
    )
    ids = torch.randint(3, VOCABULARY, (5, 9))
    ids[:, -1] = 2
    return transformers.CLIPModel(config).eval(), {"input_ids": ids, "pixel_values": picture()}


def swin() -> Made:
    """Windows of 3 by 3 in a grid of 12 by 12, every second block shifted; then a grid of 6 by 6."""
    settings = {"embed_dim": 12, "depths": [2, 2], "num_heads": [2, 4], "window_size": 3}
    pixels = picture(24, 24)
    return _made("Swin", "SwinForImageClassification", pixels, image_size=24, patch_size=2, **settings)


def swin_v2() -> Made:
    settings = {"embed_dim": 12, "depths": [2, 2], "num_heads": [2, 4], "window_size": 3}
    return _made("Swinv2", "Swinv2Model", picture(24, 24), image_size=24, patch_size=2, **settings)


def resnet() -> Made:
    settings = {"embedding_size": 6, "hidden_sizes": [8, 12], "depths": [2, 3], "layer_type": "basic"}
    return _made("ResNet", "ResNetForImageClassification", picture(32, 48), **settings)


def resnet_bottleneck() -> Made:
    settings = {"embedding_size": 6, "hidden_sizes": [8, 12], "depths": [2, 3], "layer_type": "bottleneck"}
    return _made("ResNet", "ResNetModel", picture(32, 48), **settings)


def convnext() -> Made:
    settings = {"hidden_sizes": [8, 12], "depths": [2, 3], "num_stages": 2, "layer_scale_init_value": 0.1}
    return _made("ConvNext", "ConvNextForImageClassification", picture(32, 48), patch_size=2, **settings)


MODELS = {
    make.__name__: make
    for make in (
        resnet, resnet_bottleneck, convnext, vit, dinov2, dinov2_with_registers, clip, swin, swin_v2,
    )
}  # fmt: skip
