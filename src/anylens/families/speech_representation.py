"""Speech representation: Wav2Vec2, HuBERT and their kin, which read the samples of the sound themselves."""

from typing import Any

import torch
from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.frames import Convolution, Frames, convolved
from anylens.families.named import Named
from anylens.families.sizes import free, numbers, picture

MODEL_TYPES = tuple("data2vec-audio hubert unispeech unispeech-sat wav2vec2 wav2vec2-conformer wavlm".split())

RATE = 16_000  # samples a second; of their feature extractor, and none other was trained with
BATCHES = (2, 3, 5)
POSITIONS = (19, 23, 29)
SAMPLE = Frames(1 / RATE)


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build a few sounds just long enough for a free number of positions."""
    config: Any = model.config
    taken = numbers(config)
    batch = free(BATCHES, taken)
    positions = free(POSITIONS, taken | {batch})
    frames = layout(model)
    samples = frames.field * RATE + (positions - 1) * frames.hop * RATE
    return {"input_values": picture(batch, round(samples))}


def layout(model: nn.Module) -> Frames:
    """Place positions by the convolutions that the config lists."""
    config: Any = model.config
    layers = zip(config.conv_kernel, config.conv_stride, strict=True)
    return convolved(SAMPLE, (Convolution(kernel, stride) for kernel, stride in layers))


def points(model: nn.Module) -> dict[str, Named]:
    """Name what the convolutions make of the sound, and the answers."""
    base = getattr(model, "base_model_prefix", "")
    inside = f"{base}." if base and hasattr(model, base) else ""
    return {
        "conv.{n}.hook_out": Named(
            f"{inside}feature_extractor.conv_layers.{{n}}.hook_out", "batch channel pos"
        ),
        "hook_logits": Named("lm_head.hook_out", "batch pos d_vocab"),
    }


family = Family(
    name="speech representation",
    matches=Matches(model_types=MODEL_TYPES, takes=("input_values",)),
    example=example,
    points=points,
    layout=layout,
    preprocess="AutoProcessor",
)
