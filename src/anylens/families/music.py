"""Music: MusicGen, whose decoder writes the codes of several codebooks at each position, as a text says."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from anylens.families.audio_codec import codebooks, codec_points
from anylens.families.family import Family, Matches
from anylens.families.frames import Frames
from anylens.families.layouts import Parts, Tokens
from anylens.families.named import Named
from anylens.families.sizes import free, numbers, picture, tokens

BATCHES = (2, 3, 5)
TEXTS = (9, 11, 13)
POSITIONS = (6, 7, 10)


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build a few texts, and sounds for the codec to make codes of, or codes where the codec has not as many."""
    config: Any = model.config
    decoder, sound = config.decoder, config.audio_encoder
    taken = numbers(decoder) | numbers(config.text_encoder)
    batch, text = free(BATCHES, taken), free(TEXTS, taken)
    positions = free(POSITIONS, taken | {text})
    special = {config.text_encoder.pad_token_id, config.text_encoder.eos_token_id}
    found = {"input_ids": tokens(config.text_encoder.vocab_size, (batch, text), special)}
    if codebooks(model.audio_encoder) * decoder.audio_channels == decoder.num_codebooks:
        samples = positions * sound.hop_length - sound.hop_length // 2
        return {**found, "input_values": picture(batch, sound.audio_channels, samples)}
    shape = (batch * decoder.num_codebooks, positions)  # the codebooks are rows of the batch
    return {**found, "decoder_input_ids": tokens(decoder.vocab_size, shape, set())}


def layout(model: nn.Module) -> Parts:
    """Place the text's positions among its tokens, and the decoder's in the seconds that the first codebook writes.

    Codebook k is written k positions later: position p writes its code of the frame p - k.
    """
    config: Any = model.config
    text = Tokens()
    sound = Frames(config.audio_encoder.hop_length / config.audio_encoder.sampling_rate)
    return Parts((("text_encoder", text), ("decoder", sound), ("audio_encoder", sound)))


def points(model: nn.Module) -> dict[str, Named]:
    """Name what each codebook embeds and answers, and the points of the codec."""
    answers = "(batch codebook) pos d_vocab -> batch codebook pos d_vocab"
    embedding = "decoder.model.decoder.embed_tokens.{n}.hook_out"
    return {
        "decoder.codebooks.{n}.hook_embed": Named(embedding, "batch pos d_model"),
        "decoder.codebooks.{n}.hook_logits": Named("decoder.lm_heads.{n}.hook_out", "batch pos d_vocab"),
        "decoder.hook_logits": Named("decoder.hook_out", answers, {"codebook": "decoder.num_codebooks"}),
        **codec_points(model.audio_encoder, "audio_encoder."),
    }


def conditional(model: nn.Module, given: Mapping[str | int, Any]) -> list[bool] | None:
    """Say which rows follow the text: under guidance the others are given texts of nothing but zeros."""
    texts = given.get("encoder_outputs")
    if texts is None:
        return None
    follows: list[bool] = texts[0].flatten(1).any(1).tolist()
    return None if all(follows) else follows


family = Family(
    name="music",
    matches=Matches(model_types=("musicgen",), takes=("input_ids", "decoder_input_ids")),
    example=example,
    prefixes={"text_encoder": "text_encoder", "decoder": "decoder"},
    points=points,
    layout=layout,
    conditional=conditional,
    preprocess="AutoProcessor",
)
