"""Tiny autoencoders of diffusers, whose latents diffusion works in."""

from collections.abc import Callable

import torch

from tests.models.common import BATCH, Made

CHANNELS = (8, 12)


def _shape(blocks: int) -> dict[str, object]:
    return {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ("DownEncoderBlock2D",) * blocks,
        "up_block_types": ("UpDecoderBlock2D",) * blocks,
        "block_out_channels": CHANNELS[:blocks],
        "layers_per_block": 1,
        "norm_num_groups": 4,
    }


def pictures() -> torch.Tensor:
    return torch.randn(BATCH, 3, 16, 12)


def autoencoder() -> Made:
    import diffusers

    model = diffusers.AutoencoderKL(**_shape(2), latent_channels=5, sample_size=16)
    return model.eval(), {"sample": pictures(), "sample_posterior": True}


def vq() -> Made:
    import diffusers

    model = diffusers.VQModel(**_shape(2), latent_channels=5, num_vq_embeddings=11, sample_size=16)
    return model.eval(), {"sample": pictures()}


MODELS: dict[str, Callable[[], Made]] = {make.__name__: make for make in (autoencoder, vq)}
