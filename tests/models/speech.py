"""Speech: recognition (Whisper), representation (Wav2Vec2, HuBERT), classification of spectrograms (AST)."""

from collections.abc import Callable
from typing import Any

import torch

from tests.models.common import BATCH, HEADS, HIDDEN, WIDTH, Made

MELS, FRAMES, SAMPLES = 10, 26, 401  # Whisper takes exactly twice as many frames as its encoder has positions

_SHAPE = {
    "hidden_size": WIDTH,
    "intermediate_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
}
_CONVOLUTIONS = {
    "conv_dim": (12, 14, 16),
    "conv_kernel": (5, 3, 2),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 31,
}


def whisper_config(**settings: Any) -> Any:
    """A Whisper of two layers a side, whose special tokens lie inside its small vocabulary."""
    import transformers

    shape = {
        "d_model": WIDTH,
        "encoder_layers": 2,
        "encoder_attention_heads": HEADS,
        "encoder_ffn_dim": HIDDEN,
        "decoder_layers": 2,
        "decoder_attention_heads": 4,
        "decoder_ffn_dim": 36,
        "num_mel_bins": MELS,
        "max_source_positions": FRAMES // 2,
        "max_target_positions": 20,
        "vocab_size": 51,
    }
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3}
    quiet = {"suppress_tokens": None, "begin_suppress_tokens": None}
    return transformers.WhisperConfig(**{**shape, **special, **quiet, **settings})


def whisper(attention: str = "sdpa") -> Made:
    import transformers

    cls = transformers.WhisperForConditionalGeneration
    model = cls._from_config(whisper_config(), attn_implementation=attention).eval()
    return model, {
        "input_features": torch.randn(BATCH, MELS, FRAMES),
        "decoder_input_ids": torch.randint(4, 51, (BATCH, 7)),
    }


def whisper_audio_classification() -> Made:
    import transformers

    model = transformers.WhisperForAudioClassification(whisper_config(num_labels=5)).eval()
    return model, {"input_features": torch.randn(BATCH, MELS, FRAMES)}


def wav2vec2() -> Made:
    import transformers

    config = transformers.Wav2Vec2Config(**_SHAPE, **_CONVOLUTIONS)
    return transformers.Wav2Vec2ForCTC(config).eval(), {"input_values": torch.randn(BATCH, SAMPLES)}


def wav2vec2_stable() -> Made:
    """The layout of the large models: norms before attention, and layer norms between the convolutions."""
    import transformers

    large = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
    config = transformers.Wav2Vec2Config(**_SHAPE, **_CONVOLUTIONS, **large)
    return transformers.Wav2Vec2Model(config).eval(), {"input_values": torch.randn(BATCH, SAMPLES)}


def hubert() -> Made:
    import transformers

    config = transformers.HubertConfig(**_SHAPE, **_CONVOLUTIONS, num_labels=5)
    model = transformers.HubertForSequenceClassification(config).eval()
    return model, {"input_values": torch.randn(BATCH, SAMPLES)}


def ast() -> Made:
    import transformers

    shape = {"num_mel_bins": MELS, "max_length": FRAMES, "patch_size": 4, "frequency_stride": 3}
    config = transformers.ASTConfig(**_SHAPE, **shape, time_stride=2, num_labels=5)
    model = transformers.ASTForAudioClassification(config).eval()
    return model, {"input_values": torch.randn(BATCH, FRAMES, MELS)}


MODELS: dict[str, Callable[[], Made]] = {
    make.__name__: make
    for make in (whisper, whisper_audio_classification, wav2vec2, wav2vec2_stable, hubert, ast)
}
