"""The script that trains shapes-vit runs from end to end and writes a folder that loads."""

import json

import torch

from anylens.zoo import check, load_model, load_processor
from anylens.zoo.train import shapes_vit


def test_two_steps_write_a_model_that_loads(tmp_path, monkeypatch, capsys):
    threads = torch.get_num_threads()
    monkeypatch.setattr(check, "record", lambda name, *, folder: {"accuracy": 0.5})
    shapes_vit.SCRIPT.main(["--steps", "2", "--folder", str(tmp_path), "--threads", str(threads)])
    model = load_model("shapes-vit", folder=tmp_path)
    assert model.config.id2label[0] == "red circle"
    assert load_processor("shapes-vit", folder=tmp_path).size == {"height": 32, "width": 32}
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["steps"] == 2
    assert card["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert not list(tmp_path.glob("*.part"))
    assert '"accuracy": 0.5' in capsys.readouterr().out


def test_labels_are_every_colour_with_every_shape():
    assert len(set(shapes_vit.LABELS)) == 48
