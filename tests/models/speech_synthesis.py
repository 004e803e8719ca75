"""Speech synthesis: a vocoder that was trained as a generator (HiFi-GAN), and VITS, with the flow inside it."""

from collections.abc import Callable

import torch

from tests.models.common import BATCH, HEADS, WIDTH, Made

BINS, FRAMES, TOKENS = 7, 11, 9

_UPSAMPLING = {
    "upsample_initial_channel": 16,
    "upsample_rates": [4, 2],
    "upsample_kernel_sizes": [8, 4],
    "resblock_kernel_sizes": [3, 5],
    "resblock_dilation_sizes": [[1, 3], [1, 3]],
}


def hifigan() -> Made:
    import transformers

    config = transformers.SpeechT5HifiGanConfig(model_in_dim=BINS, **_UPSAMPLING)
    return transformers.SpeechT5HifiGan(config).eval(), {"spectrogram": torch.randn(BATCH, FRAMES, BINS)}


def vits() -> Made:
    import transformers

    config = transformers.VitsConfig(
        vocab_size=31,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        ffn_dim=40,
        flow_size=10,
        spectrogram_bins=17,
        prior_encoder_num_flows=3,
        prior_encoder_num_wavenet_layers=2,
        duration_predictor_num_flows=2,
        depth_separable_num_layers=2,
        use_stochastic_duration_prediction=False,
        duration_predictor_filter_channels=12,
        **_UPSAMPLING,
    )
    model = transformers.VitsModel(config).eval()
    return model, {"input_ids": torch.randint(1, 31, (BATCH, TOKENS))}


def vits_flow() -> Made:
    """The flow alone, in the direction that training takes it."""
    return vits()[0].flow, {
        "inputs": torch.randn(BATCH, 10, FRAMES),
        "padding_mask": torch.ones(BATCH, 1, FRAMES),
    }


MODELS: dict[str, Callable[[], Made]] = {make.__name__: make for make in (hifigan, vits, vits_flow)}
