"""Anatomies are frozen data: saved as JSON, kept by architecture and versions, read on the meta device."""

import dataclasses
import json

import pytest
import torch

import anylens
from anylens.anatomy import known
from anylens.core.errors import AnatomyError, AttachError
from tests import models


@pytest.mark.parametrize("name", ["gpt2", "t5", "albert", "swin", "lstm"])
def test_json_keeps_everything(name):
    model, example = models.MODELS[name]()
    anatomy = anylens.attach(model, example).anatomy
    assert anylens.Anatomy.from_json(anatomy.to_json()) == anatomy


def test_frozen():
    model, example = models.perceptron()
    anatomy = anylens.attach(model, example).anatomy
    with pytest.raises(dataclasses.FrozenInstanceError):
        anatomy.key = "other"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 4, "anatomy": [1, 2]}'])
def test_other_text_is_refused(text):
    with pytest.raises(AnatomyError):
        anylens.Anatomy.from_json(text)


def test_a_known_architecture_needs_no_example(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYLENS_CACHE", str(tmp_path))
    monkeypatch.setattr(known, "_MEMORY", {})
    model, example = models.gpt2()
    first = anylens.attach(model, example)
    monkeypatch.setattr(known, "_MEMORY", {})  # as a new process would find it
    twin, _ = models.gpt2()
    again = anylens.attach(twin)
    assert again.anatomy == first.anatomy
    _, cache = again.run_with_cache(example, points="blocks.1.hook_resid_post")
    assert cache["blocks.1.hook_resid_post"].shape == (2, 7, 24)


@pytest.mark.parametrize("damage", ["", "{", "not json"])
def test_a_damaged_file_counts_as_none(damage, tmp_path, monkeypatch):
    monkeypatch.setenv("ANYLENS_CACHE", str(tmp_path))
    model, example = models.perceptron()
    key = anylens.attach(model, example).anatomy.key
    (tmp_path / "anatomies" / f"{key}.json").write_text(damage)
    monkeypatch.setattr(known, "_MEMORY", {})
    assert known.recall(key) is None


def test_a_cache_that_cannot_be_written_loses_nothing(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("ANYLENS_CACHE", str(blocked))
    model, example = models.perceptron()
    assert "0.hook_out" in anylens.attach(model, example).points


def test_the_key_tells_models_apart():
    keys = {known.key_of(models.MODELS[name]()[0]) for name in ("gpt2", "llama", "bert", "vit")}
    sdpa, eager = known.key_of(models.gpt2()[0]), known.key_of(models.gpt2("eager")[0])
    assert len(keys) == 4
    assert sdpa != eager
    assert sdpa == known.key_of(models.gpt2()[0])


def test_a_model_of_seventy_billion_parameters_without_weights():
    import transformers

    shape = {
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
    }
    config = transformers.LlamaConfig(**shape, num_key_value_heads=8, vocab_size=128256)
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) > 7e10
    points = anylens.attach(model, {"input_ids": torch.zeros(1, 8, dtype=torch.long)}).points
    assert points["blocks.79.hook_resid_post"].shape == (1, 8, 8192)
    assert points["blocks.79.attn.hook_k"].shape == (1, 8, 8, 128)


def test_the_first_run_is_watched_when_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYLENS_CACHE", str(tmp_path))
    monkeypatch.setattr(known, "_MEMORY", {})
    model, example = models.perceptron()
    lens = anylens.attach(model)
    with pytest.raises(AttachError, match="not been watched"):
        _ = lens.points
    _, cache = lens.run_with_cache(example, points="1.hook_out")
    assert cache["1.hook_out"].shape == (2, 40)


def test_names_in_json_are_the_points_of_the_lens():
    model, example = models.gpt2()
    lens = anylens.attach(model, example)
    text = json.dumps(json.loads(lens.anatomy.to_json()))
    assert all(f'"{name}"' in text for name in lens.points.canonical)
