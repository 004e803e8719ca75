"""A tour over a tiny vision transformer with random weights: what must hold for any model is tested on it."""

import dataclasses

import pytest
import torch

import anylens
from anylens.demo.tour_material import material_of
from anylens.report.tour.findings import study


@pytest.fixture(scope="session")
def tour():
    """The lens, what the tour was given, what it found, and what it said."""
    from transformers import ViTConfig, ViTForImageClassification

    from anylens.zoo.train.shapes_vit import LABELS

    torch.manual_seed(0)
    config = ViTConfig(
        image_size=32, patch_size=4, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, initializer_range=0.3, id2label=dict(enumerate(LABELS)),
    )  # fmt: skip
    model = ViTForImageClassification(config).eval()
    material = few(material_of(model, name="a tiny model", measured={"accuracy": 0.5, "samples": 10}))
    lens = anylens.attach(model, {"pixel_values": material.test.inputs[:1]})
    said = []
    found = study(lens, material, say=lambda *words: said.append(words), tick=lambda *_: None)
    return lens, material, found, said


def few(material):
    """The same material with few pictures of each kind."""
    kinds = ("test", "clean", "corrupted", "steered", "reference")
    return dataclasses.replace(material, **{kind: getattr(material, kind)[:6] for kind in kinds})
