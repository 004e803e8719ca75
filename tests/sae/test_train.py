"""Training finds features that are there, goes on bit for bit from a checkpoint, and stops at what is wrong."""

import json

import pytest
import torch

from anylens.core.errors import LoadError, SaeError
from anylens.sae import Settings, load, make, save, train
from anylens.sae.checkpoint import CHECKPOINT
from anylens.store.batches import Batches
from anylens.store.reader import InMemory

SETTINGS = {
    "topk": {"k": 4}, "batchtopk": {"k": 4}, "matryoshka": {"k": 4}, "standard": {"l1": 0.3},
    "jumprelu": {"l0": 0.05}, "gated": {"l1": 1.0},
}  # fmt: skip


def rows(count=6000, d_in=16, features=24, active=3, seed=0):
    """Sums of a few of some directions, and the directions."""
    random = torch.Generator().manual_seed(seed)
    directions = torch.randn(features, d_in, generator=random)
    directions = directions / directions.norm(dim=1, keepdim=True)
    which = torch.rand(count, features, generator=random).topk(active).indices
    weights = torch.zeros(count, features).scatter(1, which, 1 + torch.rand(count, active, generator=random))
    return 5 * weights @ directions + 2, directions


def batches(values, **options):
    return Batches(InMemory(values), 256, epochs=None, mixing=2048, **options)


@pytest.mark.parametrize("variant", SETTINGS)
def test_every_variant_explains_sums_of_few_directions(variant):
    values, directions = rows()
    sae = make(variant, 16, 48, **SETTINGS[variant])
    settings = Settings(steps=500, lr=4e-3, dead_after=5000)
    train(sae, batches(values), settings, progress=False)
    held = rows(seed=0)[0][:500]
    with torch.no_grad():
        left = (sae(held) - held).pow(2).sum() / (held - held.mean(0)).pow(2).sum()
        nearest = (directions @ sae.decoder.T).max(1).values
        l0 = float((sae.encode(held) > 0).sum(1).float().mean())
    assert left < 0.25
    assert l0 < 16
    assert nearest.median() > 0.85  # the directions themselves are found


@pytest.mark.parametrize("variant", ["topk", "batchtopk", "gated"])
def test_a_training_that_was_cut_off_goes_on_bit_for_bit(variant, tmp_path):
    values, _ = rows(2000)
    settings = Settings(steps=60, save_every=20, log_every=10, dead_after=2000)

    def run(folder, stop=None):
        sae = make(variant, 16, 48, **SETTINGS[variant])
        source = batches(values)
        if stop is not None:
            source.epochs = 1
            source.total_batches = stop
        return train(sae, source, settings, folder=folder, progress=False)

    whole = run(tmp_path / "whole")
    with pytest.raises(SaeError, match="ran out"):
        run(tmp_path / "cut", stop=1)  # one epoch is 8 batches; nothing was kept
    sae = make(variant, 16, 48, **SETTINGS[variant])
    short = Batches(InMemory(values), 256, epochs=6, mixing=2048)
    with pytest.raises(SaeError, match="ran out after 48"):
        train(sae, short, settings, folder=tmp_path / "cut", progress=False)
    again = run(tmp_path / "cut")  # from step 40
    for (name, one), other in zip(whole.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40, 50, 60]
    assert {"loss", "fvu", "l0", "dead", "reconstruction"} <= lines[0].keys()


def test_another_training_or_a_damaged_checkpoint_is_refused(tmp_path):
    values, _ = rows(1000)
    settings = Settings(steps=4, save_every=2)
    train(make("topk", 16, 48, k=4), batches(values), settings, folder=tmp_path, progress=False)
    with pytest.raises(SaeError, match="another training"):
        train(make("topk", 16, 48, k=5), batches(values), settings, folder=tmp_path, progress=False)
    (tmp_path / CHECKPOINT).write_bytes(b"\0" * 40)
    with pytest.raises(LoadError, match="cannot be read"):
        train(make("topk", 16, 48, k=4), batches(values), settings, folder=tmp_path, progress=False)


def test_what_goes_wrong_stops_the_training():
    values, _ = rows(1000)
    values[300] = float("nan")
    with pytest.raises(SaeError, match="The loss was nan"):
        train(make("topk", 16, 48, k=4), batches(values), Settings(steps=20), progress=False)
    good, _ = rows(1000)
    sae = make("standard", 16, 48, l1=1e6)
    with pytest.raises(SaeError, match="Every latent was dead"):
        train(sae, batches(good), Settings(steps=400, lr=0.1, dead_after=500, clip=1e9), progress=False)


@pytest.mark.parametrize(
    ("name", "value"), [("steps", -3), ("lr", float("nan")), ("clip", 0.0), ("decay", 1.5), ("save_every", 0)]
)
def test_settings_that_no_training_has(name, value):
    with pytest.raises(SaeError, match=f"{name} is {value}"):
        Settings(**{name: value})


@pytest.mark.parametrize("variant", SETTINGS)
def test_files_give_the_same_outputs(variant, tmp_path):
    values, _ = rows(1000)
    sae = make(variant, 16, 48, **SETTINGS[variant])
    train(sae, batches(values), Settings(steps=30), progress=False)
    save(sae, tmp_path / "sae", metadata={"point": "blocks.0.hook_resid_post"})
    again = load(tmp_path / "sae")
    assert type(again) is type(sae)
    assert again.settings() == sae.settings()
    with torch.no_grad():
        torch.testing.assert_close(again.encode(values[:50]), sae.encode(values[:50]), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(again(values[:50]), sae(values[:50]), atol=1e-4, rtol=1e-4)
    config = json.loads((tmp_path / "sae" / "cfg.json").read_text())
    assert config["architecture"] in ("standard", "topk", "jumprelu", "gated")
    assert config["metadata"]["point"] == "blocks.0.hook_resid_post"


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(LoadError, match="no autoencoder"):
        load(tmp_path)
    save(make("topk", 4, 8, k=2), tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text())
    for change, said in (
        ({"normalize_activations": "layer_norm"}, "normalize_activations"),
        ({"d_sae": 9}, "shape"),
        ({"metadata": {}, "architecture": "matching_pursuit"}, "matching_pursuit"),
    ):
        (tmp_path / "cfg.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(LoadError, match=said):
            load(tmp_path)
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    (tmp_path / "sae_weights.safetensors").write_bytes(b"\0")
    with pytest.raises(LoadError, match="sae_weights"):
        load(tmp_path)
