"""A small vision transformer with random weights."""

import pytest
import torch

import anylens


@pytest.fixture(scope="module")
def lens():
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    model = ViTForImageClassification(
        ViTConfig(
            image_size=8, patch_size=4, hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
            intermediate_size=32, num_labels=3, initializer_range=0.3,
        )
    )  # fmt: skip
    return anylens.attach(model.eval(), {"pixel_values": torch.zeros(1, 3, 8, 8)})
