"""Audio codecs: EnCodec, which turns sound into several codes a position, and codes into sound."""

from typing import Any

import torch
from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.frames import Frames
from anylens.families.named import Named
from anylens.families.sizes import free, numbers, picture

BATCHES = (2, 3, 5)
POSITIONS = (14, 17, 19)
LATENT = "batch channel pos"


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build a few sounds that end a little behind a whole number of positions."""
    config: Any = model.config
    taken = numbers(config)
    samples = free(POSITIONS, taken) * config.hop_length - config.hop_length // 2
    return {"input_values": picture(free(BATCHES, taken), config.audio_channels, samples)}


def layout(model: nn.Module) -> Frames:
    """Give a position of the codes as many samples as the encoder's strides make one of."""
    config: Any = model.config
    return Frames(config.hop_length / config.sampling_rate)


def points(model: nn.Module) -> dict[str, Named]:
    """Name the latent, the codes, and for each codebook what it has to say and what it says."""
    return codec_points(model, "")


def codebooks(codec: Any) -> int:
    """Return how many codebooks a forward uses: as many as the least bandwidth has."""
    return int(codec.quantizer.get_num_quantizers_for_bandwidth(codec.config.target_bandwidths[0]))


def codec_points(codec: Any, stem: str) -> dict[str, Named]:
    """Name the points of a codec whose path ends in `stem`.

    The first codebook quantises the latent, every other what those before it left over.
    """
    count = codebooks(codec)
    found = {
        "encoder.hook_latent": Named(f"{stem}encoder.hook_out", LATENT),
        "quantizer.hook_codes": Named(f"{stem}op.stack.0.hook_out", "codebook batch pos"),
        "decoder.hook_latent": Named(f"{stem}decoder.hook_in", LATENT),
        "decoder.hook_waveform": Named(f"{stem}decoder.hook_out", "batch channel sample"),
    }
    for number in range(count):
        # to encode, each codebook takes two differences and a look-up; to decode, one look-up more
        residual = f"op.sub.{2 * number - 1}.hook_out" if number else "encoder.hook_out"
        quantized = f"op.embedding.{count + number}.hook_out"
        base = f"quantizer.codebooks.{number}"
        found[f"{base}.hook_residual"] = Named(f"{stem}{residual}", LATENT)
        found[f"{base}.hook_quantized"] = Named(f"{stem}{quantized}", "batch pos channel")
    return {f"{stem}{name}": one for name, one in found.items()}


family = Family(
    name="audio codec",
    matches=Matches(model_types=("encodec",), takes=("input_values",)),
    example=example,
    points=points,
    layout=layout,
    preprocess="AutoProcessor",
)
