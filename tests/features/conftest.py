"""A tiny vision transformer with random weights, an autoencoder on it, and a survey of its features."""

import pytest
import torch

import anylens
from anylens.features import Wanted, survey
from anylens.sae import make
from anylens.zoo.feeding import Samples

POINT = "blocks.0.hook_resid_post"


@pytest.fixture(scope="session")
def tiny():
    """A lens on a vision transformer, and an autoencoder of its stream."""
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(
        image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, initializer_range=0.3, num_labels=5,
    )  # fmt: skip
    lens = anylens.attach(
        ViTForImageClassification(config).eval(), {"pixel_values": torch.rand(1, 3, 32, 32)}
    )
    return lens, make("topk", 16, 40, k=3)


@pytest.fixture(scope="session")
def surveyed(tiny):
    """The lens, the autoencoder, the data, and the survey."""
    lens, sae = tiny
    data = Samples("shapes-vit", 20, batch=6)
    wanted = Wanted(strongest=3, random=2, effects=4)
    return lens, sae, data, survey(lens, sae, data, point=POINT, positions="patches", wanted=wanted)
