"""Audio classification by spectrogram: AST, which cuts a log-mel spectrogram into patches that overlap."""

from typing import Any

import torch
from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.frames import Spectrogram
from anylens.families.named import Named
from anylens.families.sizes import free, numbers, picture

FRAME = 0.01  # seconds from one frame of the spectrogram to the next, of its feature extractor
PREFIX_TOKENS = ("class", "distillation")


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build a few spectrograms of the length that the model was made for."""
    config: Any = model.config
    batch = free((2, 3, 5), numbers(config))
    return {"input_values": picture(batch, config.max_length, config.num_mel_bins)}


def layout(model: nn.Module) -> Spectrogram:
    """Read the patches and their grid off the config."""
    config: Any = model.config
    side = config.patch_size
    stride = (config.frequency_stride, config.time_stride)
    sizes = (config.num_mel_bins, config.max_length)
    grid = ((sizes[0] - side) // stride[0] + 1, (sizes[1] - side) // stride[1] + 1)
    return Spectrogram((side, side), stride, grid, FRAME, PREFIX_TOKENS)


family = Family(
    name="audio spectrogram",
    matches=Matches(model_types=("audio-spectrogram-transformer",), takes=("input_values",)),
    example=example,
    points={"hook_logits": Named("classifier.hook_out", "batch label")},
    layout=layout,
    preprocess="AutoFeatureExtractor",
)
