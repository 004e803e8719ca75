"""Autoencoders of diffusers: pictures to latents and back, by a mean and a variance or by the codes of a codebook."""

from inspect import signature
from typing import Any

from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.layouts import Cells
from anylens.families.named import Named
from anylens.families.sizes import free, numbers, picture

CLASSES = ("AutoencoderKL", "VQModel")
CELLS = (3, 5)  # height and width of an example's latents
GRID = "batch channel height width"


def example(model: nn.Module) -> dict[str, Any]:
    """Build a few pictures; latents where what runs is a decoder."""
    config: Any = model.config
    takes = signature(model.forward).parameters
    batch = free((2, 3, 5), numbers(config) | set(config.block_out_channels))
    factor = 2 ** (len(config.block_out_channels) - 1)
    pictures = picture(batch, config.in_channels, *(size * factor for size in CELLS))
    if "sample_posterior" in takes:
        return {"sample": pictures, "sample_posterior": True}
    for name in ("sample", "x"):
        if name in takes:
            return {name: pictures}
    width = getattr(config, "vq_embed_dim", None) or config.latent_channels
    return {next(iter(takes)): picture(batch, width, *CELLS)}


def points(model: nn.Module) -> dict[str, Named]:
    """Name the latent: its mean, log-variance and sample, or its codes and what they stand for."""
    if hasattr(model, "quantize"):
        return {
            "latent.hook_continuous": Named("quant_conv.hook_out", GRID),
            "latent.hook_codes": Named(
                "quantize.op.argmin.0.hook_out", "batch height width", flat=("quantize.hook_in", (0, 2, 3))
            ),
            "latent.hook_quantized": Named("quantize.hook_out", GRID),
        }
    read = "post_quant_conv" if getattr(model, "post_quant_conv", None) is not None else "decoder"
    return {
        "latent.hook_mean": Named("op.chunk.0.hook_out", GRID),
        "latent.hook_log_var": Named("op.clamp.0.hook_out", GRID),
        "latent.hook_sample": Named(f"{read}.hook_in", GRID),
    }


def _prefixes() -> dict[str, str]:
    """Name the parts `encoder.down.0`, `encoder.mid.resnets.0`, `decoder.up.2`."""
    parts = {
        f"{half}.{path}": f"{half}.{name}"
        for half in ("encoder", "decoder")
        for path, name in (("down_blocks.*", "down.*"), ("mid_block", "mid"), ("up_blocks.*", "up.*"))
    }
    kinds = ("resnets", "resnets.*", "attentions", "attentions.*")
    return parts | {f"{path}.{kind}": f"{name}.{kind}" for path, name in parts.items() for kind in kinds}


family = Family(
    name="autoencoder",
    matches=Matches(classes=tuple(f"diffusers.*.{name}" for name in CLASSES)),
    example=example,
    prefixes=_prefixes(),
    points=points,
    layout=Cells(),
)
