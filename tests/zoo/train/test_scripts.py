"""Every script of the shapes world runs from end to end and writes a folder that loads."""

import importlib

import pytest
import torch

from anylens.zoo import card, check, entry, load_model, names
from anylens.zoo.train import denoising
from anylens.zoo.train.script import Trained

NAMES = [name for name in names() if entry(name).world == "shapes"]


@pytest.fixture
def few(monkeypatch):
    """Draw few pictures before a training, and measure nothing after it."""
    monkeypatch.setattr(check, "record", lambda name, *, folder: {"accuracy": 0.5})
    monkeypatch.setattr(denoising, "PICTURES", 64)
    for name in NAMES:
        module = importlib.import_module(entry(name).script)
        if hasattr(module, "PICTURES"):
            monkeypatch.setattr(module, "PICTURES", 64)


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_write_a_model_that_loads(name, tmp_path, few, capsys):
    script = importlib.import_module(entry(name).script).SCRIPT
    threads = torch.get_num_threads()
    script.main(["--steps", "2", "--folder", str(tmp_path), "--threads", str(threads)])
    model = load_model(name, folder=tmp_path)
    told = card(name, folder=tmp_path)
    assert type(model).__name__ == entry(name).model_class.partition(":")[2]
    assert told["steps"] == 2
    assert told["command"] == f"python -m {entry(name).script} --steps 2 --seed 0"
    assert told["batch"] == script.batch
    assert not (tmp_path / "vae").exists()
    assert '"accuracy": 0.5' in capsys.readouterr().out


def test_what_is_written_is_what_was_trained(tmp_path):
    module = importlib.import_module(entry("shapes-vae").script)
    model = module.untrained()
    module.SCRIPT.write(Trained(model=model, seconds=1.0), module.plan_of(10, 0), folder=tmp_path)
    found = load_model("shapes-vae", folder=tmp_path)
    for name, weight in found.state_dict().items():
        assert torch.equal(weight, model.state_dict()[name].half().float())


def test_other_steps_do_not_take_the_place_of_the_shipped_model(capsys):
    with pytest.raises(SystemExit):
        importlib.import_module(entry("shapes-vit").script).SCRIPT.main(["--steps", "2"])
    assert "write others to a --folder" in capsys.readouterr().err
