"""Speech recognition: Whisper, which reads a log-mel spectrogram and writes text."""

import inspect
from typing import Any

import torch
from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.frames import Convolution, Frames, convolved
from anylens.families.layouts import Layout, Parts, Tokens
from anylens.families.named import Named
from anylens.families.sizes import free, numbers, picture, tokens

# of its feature extractor: a frame every 10 ms, of 25 ms around that moment
FRAME, WINDOW = 0.01, 0.025
MEL = Frames(FRAME, WINDOW, -WINDOW / 2)
CONVOLUTIONS = (Convolution(3, 1, 1), Convolution(3, 2, 1))

BATCHES = (2, 3, 5)
TARGETS = (7, 9, 11)


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build spectrograms of the one length that the encoder takes, and a few tokens to follow them."""
    config: Any = model.config
    taken = numbers(config)
    batch = free(BATCHES, taken)
    frames = 2 * config.max_source_positions
    found = {"input_features": picture(batch, config.num_mel_bins, frames)}
    if not _writes(model):
        return found
    target = free(TARGETS, taken, config.max_target_positions)
    special = {config.pad_token_id, config.bos_token_id, config.eos_token_id, config.decoder_start_token_id}
    return {**found, "decoder_input_ids": tokens(config.vocab_size, (batch, target), special)}


def layout(model: nn.Module) -> Layout:
    """Place the encoder's positions in seconds, and the decoder's among the tokens."""
    sound = convolved(MEL, CONVOLUTIONS)
    if not _writes(model):
        return sound
    text = Tokens((("", "decoder_input_ids"),))
    return Parts((("encoder", sound), ("model.encoder", sound), ("decoder", text), ("model.decoder", text)))


def points(model: nn.Module) -> dict[str, Named]:
    """Name the convolutions before the encoder, and the logits."""
    inside = "model." if hasattr(model, "model") else ""
    stem = "encoder." if _writes(model) else ""
    found = {f"{stem}conv{{n}}.hook_out": Named(f"{inside}encoder.conv{{n}}.hook_out", "batch channel frame")}
    return found | ({"decoder.hook_logits": Named("proj_out.hook_out", "batch pos d_vocab")} if stem else {})


def _writes(model: nn.Module) -> bool:
    """Whether a model has the decoder too: to classify sound, the encoder is enough."""
    return "decoder_input_ids" in inspect.signature(model.forward).parameters


family = Family(
    name="speech recognition",
    matches=Matches(model_types=("whisper",), takes=("input_features",)),
    example=example,
    points=points,
    aliases={"audio_features": "encoder.ln_final.hook_normalized"},
    layout=layout,
    preprocess="AutoProcessor",
)
