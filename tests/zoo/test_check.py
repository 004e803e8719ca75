"""The shipped weights do what their card says, on pictures that they were not trained on."""

import json
import shutil

import pytest

from anylens.zoo import card, check, entry


@pytest.fixture(scope="module")
def measured():
    return check.measure("shapes-vit", samples=1024, seed=1)


def test_held_out_accuracy(measured):
    assert measured["accuracy"] >= 0.98
    assert min(measured["accuracy_of"].values()) >= measured["accuracy"]


def test_no_value_of_any_factor_is_neglected(measured):
    assert all(min(by_value.values()) > 0.9 for by_value in measured["accuracy_by"].values())


def test_the_card_holds_what_was_measured_on_more_pictures(measured):
    told = card("shapes-vit")["measured"]
    assert told["samples"] == 4096
    assert told["split"] == "held_out"
    assert told["accuracy"] == pytest.approx(measured["accuracy"], abs=0.015)


def test_it_prints_json_and_writes_the_card_only_when_asked(tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(entry("shapes-vit").folder, tmp_path / "shapes-vit")
    before = (folder / "card.json").read_text()
    check.main(["shapes-vit", "--samples", "16"])
    assert json.loads(capsys.readouterr().out)["samples"] == 16
    monkeypatch.setattr(check, "measure", lambda name, *, folder: {"accuracy": 0.25})
    assert check.record("shapes-vit", folder=folder) == {"accuracy": 0.25}
    assert card("shapes-vit", folder=folder) == json.loads(before) | {"measured": {"accuracy": 0.25}}
