"""Music: MusicGen (text encoder, decoder over codebooks) and EnCodec, whose codes it writes."""

from collections.abc import Callable
from typing import Any

import torch

from tests.models.common import BATCH, HIDDEN, WIDTH, Made, token_ids

CODEBOOKS, CODES, POSITIONS, SAMPLES = 4, 32, 6, 163


def encodec_config() -> Any:
    """An EnCodec that makes one position of 12 samples, with four codebooks at any bandwidth it allows."""
    import transformers

    return transformers.EncodecConfig(
        target_bandwidths=[40.0],
        sampling_rate=24_000,
        num_filters=4,
        hidden_size=10,
        codebook_dim=10,
        codebook_size=CODES,
        upsampling_ratios=[3, 4],
        num_lstm_layers=1,
        kernel_size=5,
        last_kernel_size=5,
    )


def encodec() -> Made:
    import transformers

    model = transformers.EncodecModel(encodec_config()).eval()
    with torch.no_grad():
        for layer in model.quantizer.layers:  # they start as zeros, and are learnt as running means
            layer.codebook.embed.normal_()
    return model, {"input_values": torch.randn(BATCH, 1, SAMPLES)}


def musicgen_config() -> Any:
    """A MusicGen of two layers a side over the codebooks of the tiny EnCodec."""
    import transformers

    text = transformers.T5Config(vocab_size=53, d_model=18, d_kv=6, d_ff=30, num_layers=2, num_heads=3)
    decoder = transformers.MusicgenDecoderConfig(
        vocab_size=CODES,
        hidden_size=WIDTH,
        ffn_dim=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_codebooks=CODEBOOKS,
        max_position_embeddings=64,
        pad_token_id=CODES,
        bos_token_id=CODES,
        eos_token_id=None,
    )
    return transformers.MusicgenConfig(text_encoder=text, audio_encoder=encodec_config(), decoder=decoder)


def _musicgen() -> Any:
    import transformers

    model = transformers.MusicgenForConditionalGeneration(musicgen_config()).eval()
    with torch.no_grad():
        for layer in model.audio_encoder.quantizer.layers:
            layer.codebook.embed.normal_()
    return model


def musicgen() -> Made:
    codes = torch.randint(0, CODES, (BATCH * CODEBOOKS, POSITIONS))
    return _musicgen(), {"input_ids": token_ids(9), "decoder_input_ids": codes}


def musicgen_from_sound() -> Made:
    """Its codec makes the codes that the decoder takes."""
    return _musicgen(), {"input_ids": token_ids(9), "input_values": torch.randn(BATCH, 1, POSITIONS * 12 - 5)}


MODELS: dict[str, Callable[[], Made]] = {
    make.__name__: make for make in (encodec, musicgen, musicgen_from_sound)
}
