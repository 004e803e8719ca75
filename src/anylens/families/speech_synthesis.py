"""Speech synthesis: HiFi-GAN, which makes sound of a spectrogram, and VITS, which goes from text to sound by a flow."""

from math import prod
from typing import Any

import torch
from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.frames import Frames
from anylens.families.layouts import Layout, Parts, Tokens
from anylens.families.named import Named
from anylens.families.sizes import free, numbers, picture, tokens

BATCHES = (2, 3, 5)
FRAMES = (11, 13, 17)
LATENT = "batch channel frame"


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build a few texts; for a vocoder spectrograms, for a flow latents."""
    config: Any = getattr(model, "config", None)
    taken = numbers(config) if config is not None else set()
    batch, length = free(BATCHES, taken), free(FRAMES, taken)
    if config is None:
        part: Any = model
        latents = picture(batch, 2 * part.flows[0].half_channels, length)
        return {"inputs": latents, "padding_mask": torch.ones(batch, 1, length)}
    if config.model_type == "vits":
        return {"input_ids": tokens(config.vocab_size, (batch, length), {config.pad_token_id})}
    return {"spectrogram": picture(batch, length, config.model_in_dim)}


def points(model: nn.Module) -> dict[str, Named]:
    """Name the steps of the flow, what is drawn and what is heard, and the vocoder's stages."""
    if not hasattr(model, "config"):
        return {**_flow(""), "flow.{n}.hook_log_det": Named("flows.{n}.hook_out[1]", "batch")}
    if not hasattr(model, "flow"):
        return {**_vocoder(""), "hook_waveform": Named("hook_out", "batch sample")}
    return {
        "text_encoder.hook_prior_mean": Named("text_encoder.hook_out[prior_means]", "batch pos channel"),
        "text_encoder.hook_prior_log_var": Named(
            "text_encoder.hook_out[prior_log_variances]", "batch pos channel"
        ),
        "hook_log_duration": Named("duration_predictor.hook_out", "batch channel pos"),
        "flow.hook_latent": Named("flow.hook_in", LATENT),
        **_flow("flow."),
        "decoder.hook_spectrogram": Named("decoder.hook_in", LATENT),
        **_vocoder("decoder."),
        "decoder.hook_waveform": Named("decoder.hook_out", "batch channel sample"),
    }


def _flow(path: str) -> dict[str, Named]:
    return {
        "flow.{n}.hook_in": Named(f"{path}flows.{{n}}.hook_in", LATENT),
        "flow.{n}.hook_mean": Named(f"{path}flows.{{n}}.conv_post.hook_out", LATENT),
        "flow.{n}.hook_out": Named(f"{path}flows.{{n}}.hook_out", LATENT),
    }


def _vocoder(path: str) -> dict[str, Named]:
    return {
        f"{path}upsample.{{n}}.hook_out": Named(f"{path}upsampler.{{n}}.hook_out", "batch channel frame"),
    }


def layout(model: nn.Module) -> Layout | None:
    """Place frames in seconds, finer behind each stage of the vocoder; the positions of a text are its tokens."""
    config: Any = getattr(model, "config", None)
    if config is None:  # a flow alone does not know what a frame lasts
        return None
    coarse = Frames(prod(config.upsample_rates) / config.sampling_rate)
    stem = "decoder." if hasattr(model, "flow") else ""
    parts: list[tuple[str, Layout]] = [
        ("", coarse),
        ("text_encoder", Tokens()),
        ("duration_predictor", Tokens()),
    ]
    kernels = len(config.resblock_kernel_sizes)
    for stage in range(len(config.upsample_rates)):
        fine = Frames(prod(config.upsample_rates[stage + 1 :]) / config.sampling_rate)
        parts.append((f"{stem}upsample.{stage}", fine))
        parts += [(f"{stem}resblocks.{stage * kernels + kernel}", fine) for kernel in range(kernels)]
    return Parts(tuple(parts))


family = Family(
    name="speech synthesis",
    matches=Matches(
        model_types=("speecht5_hifigan", "vits"),
        classes=("transformers.models.vits.modeling_vits.VitsResidualCouplingBlock",),
    ),
    example=example,
    prefixes={"resblocks.*": "resblocks.*"},
    points=points,
    layout=layout,
    preprocess="AutoTokenizer",
)
