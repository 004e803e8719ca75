"""The shipped models load in their own classes, and no damage to their files passes unnoticed."""

import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import ViTForImageClassification
from transformers.utils import logging

from anylens.core.errors import ZooError
from anylens.zoo import card, entry, files, load_model, load_processor
from anylens.zoo.worlds.shapes import sample

NAME = "shapes-vit"


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(entry(NAME).folder, tmp_path / NAME)


def test_the_model_is_the_real_class_in_float32_and_eval_mode():
    model = load_model(NAME)
    assert type(model) is ViTForImageClassification
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not any(module.training for module in model.modules())
    assert len(model.config.id2label) == 48


def test_loading_leaves_random_numbers_and_the_progress_bar_as_they_were():
    state, bar = torch.get_rng_state(), logging.is_progress_bar_enabled()
    load_model(NAME)
    assert torch.equal(torch.get_rng_state(), state)
    assert logging.is_progress_bar_enabled() == bar


def test_the_processor_gives_the_worlds_pixel_values():
    batch = sample(4, seed=0)
    pictures = [
        Image.fromarray((one.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()) for one in batch.pixels
    ]
    values = load_processor(NAME)(pictures, return_tensors="pt")["pixel_values"]
    assert values.shape == (4, 3, 32, 32)
    # a picture file has 256 levels, so half a level of -1..1
    assert (values - batch.pixel_values).abs().max() < 1.01 / 255


def test_the_processor_resizes_larger_pictures():
    values = load_processor(NAME)(Image.new("RGB", (100, 60)), return_tensors="pt")["pixel_values"]
    assert values.shape == (1, 3, 32, 32)


def test_the_card_tells_how_the_model_was_made():
    told = card(NAME)
    assert told["parameters"] == sum(parameter.numel() for parameter in load_model(NAME).parameters())
    assert told["command"].startswith("python -m anylens.zoo.train.shapes_vit")
    assert {"seed", "steps", "seconds", "weights_sha256", "measured"} <= set(told)


@pytest.mark.parametrize("load", [load_model, load_processor, card])
def test_an_unknown_name_is_refused(load):
    with pytest.raises(ZooError, match="did you mean shapes-vit"):
        load("shape-vit")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "card.json"])
def test_a_missing_file_is_named(copy, missing):
    (copy / missing).unlink()
    with pytest.raises(ZooError, match=f"{missing} is missing"):
        load_model(NAME, folder=copy)


@pytest.mark.parametrize("damaged", ["config.json", "card.json"])
def test_damaged_json_is_named(copy, damaged):
    (copy / damaged).write_text("{oops")
    with pytest.raises(ZooError, match=f"{damaged} is damaged"):
        load_model(NAME, folder=copy)


def test_truncated_weights_are_named(copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ZooError, match=r"model\.safetensors is damaged"):
        load_model(NAME, folder=copy)


def test_one_flipped_bit_in_the_weights_is_noticed(copy):
    path = copy / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ZooError, match=r"model\.safetensors is damaged: its SHA-256"):
        load_model(NAME, folder=copy)


def test_weights_that_lack_a_tensor_are_refused_though_their_checksum_holds(copy, monkeypatch):
    path = copy / "model.safetensors"
    stored = load_file(path)
    stored.pop("classifier.bias")
    save_file(stored, path, metadata={"format": "pt"})
    monkeypatch.setattr(files, "check_weights", lambda folder: None)
    with pytest.raises(ZooError, match=r"do not fit .*classifier\.bias"):
        load_model(NAME, folder=copy)


def test_a_missing_processor_file_is_named(copy):
    (copy / "preprocessor_config.json").unlink()
    with pytest.raises(ZooError, match=r"preprocessor_config\.json is missing"):
        load_processor(NAME, folder=copy)
