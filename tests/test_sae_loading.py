"""An autoencoder by name: of the zoo, from a folder, from the hub; and what is said of names that lead nowhere."""

import types

import pytest
import torch

import anylens
from anylens import sae_loading
from anylens.core.errors import LoadError
from anylens.sae import make, save


@pytest.fixture
def saved(tmp_path):
    return save(make("topk", 6, 12, k=2, seed=3), tmp_path / "mine")


def test_a_folder(saved):
    found = anylens.load_sae(saved)
    assert torch.equal(found.encoder, make("topk", 6, 12, k=2, seed=3).encoder)
    assert not found.training
    assert torch.equal(anylens.load_sae(str(saved)).decoder, found.decoder)


def test_half_precision_is_read_as_single(tmp_path):
    sae = make("topk", 6, 12, k=2)
    sae.scale.fill_(0.37)
    found = anylens.load_sae(save(sae.half(), tmp_path))
    assert found.encoder.dtype == torch.float32
    assert torch.allclose(found.encoder, sae.encoder.float(), rtol=2e-3, atol=1e-4)


def test_a_hub_id_names_the_repository_and_the_folder_in_it(saved, monkeypatch):
    asked = []

    def download(repository, file, *, subfolder, revision):
        asked.append((repository, file, subfolder, revision))
        return str(saved / file)

    hub = types.SimpleNamespace(
        hf_hub_download=download, errors=types.SimpleNamespace(HfHubHTTPError=OSError)
    )
    monkeypatch.setattr(sae_loading, "require", lambda module, extra: hub)
    assert anylens.load_sae("owner/saes/layer_3/width_12", revision="v1").d_sae == 12
    assert asked[0] == ("owner/saes", "cfg.json", "layer_3/width_12", "v1")
    assert anylens.load_sae("owner/saes").d_in == 6
    assert asked[-1] == ("owner/saes", "sae_weights.safetensors", None, None)


def test_the_hubs_refusal_is_ours(monkeypatch):
    def download(*args, **kwargs):
        raise OSError("not there\nand more")

    hub = types.SimpleNamespace(
        hf_hub_download=download, errors=types.SimpleNamespace(HfHubHTTPError=OSError)
    )
    monkeypatch.setattr(sae_loading, "require", lambda module, extra: hub)
    with pytest.raises(LoadError, match="owner/saes.*not there$"):
        anylens.load_sae("owner/saes")


@pytest.mark.parametrize("name", ["no such folder", "justaname", 12])
def test_names_that_lead_nowhere(name):
    with pytest.raises(LoadError):
        anylens.load_sae(name)


def test_a_folder_without_one(tmp_path):
    with pytest.raises(LoadError, match=r"cfg\.json"):
        anylens.load_sae(tmp_path)
