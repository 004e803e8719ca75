"""The shipped weights do what their cards say, on samples that they were not trained on."""

import importlib
import json
import shutil
from pathlib import Path

import pytest

from anylens.core.errors import ZooError
from anylens.zoo import card, check, entry, names, table
from anylens.zoo.table import page

PAGE = Path(__file__).parent.parent.parent / "docs" / "zoo.md"
SLACK = 0.05  # of what a target asks for: in the tests the samples are few
NEAR = 0.02  # of a number that is nearly nothing, such as a rate of errors


@pytest.mark.parametrize("name", names())
def test_every_model_reaches_its_target_on_a_few_samples(name):
    known = entry(name)
    measured = check.measure(name, samples=known.light, seed=1)
    for target in known.targets:
        told = target.value(card(name)["measured"])
        bound = told if known.shortfall else (target.at_least if target.at_most is None else target.at_most)
        assert known.shortfall or target.reached(measured, slack=SLACK * abs(bound))
        assert target.value(measured) == pytest.approx(told, rel=0.1, abs=NEAR)
    assert measured["samples"] == known.light


def test_no_value_of_any_factor_is_neglected():
    measured = check.measure("shapes-vit", samples=1024, seed=1)
    assert all(min(by_value.values()) > 0.9 for by_value in measured["accuracy_by"].values())


@pytest.mark.parametrize("name", names())
def test_the_card_holds_what_was_measured(name):
    told = card(name)["measured"]
    assert told["samples"] == entry(name).samples
    module = importlib.import_module(f"anylens.zoo.measure.{entry(name).measure}")
    assert told.get("guidance") == getattr(module, "GUIDANCE", None)


@pytest.mark.parametrize("name", names())
def test_the_card_tells_how_the_script_trains(name):
    script, told = importlib.import_module(entry(name).script).SCRIPT, card(name)
    plan = script.plan_of(told["steps"], told["seed"])
    assert told["steps"] == script.steps
    assert told["batch"] == script.batch
    assert told["learning_rate"] == plan.learning_rate
    assert told["weight_decay"] == plan.weight_decay


def test_it_prints_json_and_writes_the_card_only_when_asked(tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(entry("shapes-vit").folder, tmp_path / "shapes-vit")
    before = (folder / "card.json").read_text()
    check.main(["shapes-vit", "--samples", "16"])
    assert json.loads(capsys.readouterr().out)["shapes-vit"]["samples"] == 16
    monkeypatch.setattr(check, "measure", lambda name, *, folder: {"accuracy": 0.25})
    assert check.record("shapes-vit", folder=folder) == {"accuracy": 0.25}
    assert card("shapes-vit", folder=folder) == json.loads(before) | {"measured": {"accuracy": 0.25}}


def test_a_missed_target_ends_it_with_an_error(monkeypatch, capsys):
    monkeypatch.setattr(check, "measure", lambda name, *, samples: {"accuracy": 0.25})
    with pytest.raises(SystemExit, match=r"shapes-vit: accuracy 25\.00%, must be at least 98%"):
        check.main(["shapes-vit"])


def test_few_samples_are_not_recorded(capsys):
    with pytest.raises(SystemExit):
        check.main(["shapes-vit", "--samples", "0", "--record"])
    assert "leave out --samples" in capsys.readouterr().err


def test_a_name_that_the_zoo_lacks_is_one_line(capsys):
    with pytest.raises(SystemExit):
        check.main(["shape-vit"])
    assert "did you mean shapes-vit" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "samples"), [("shapes-vit", 0), ("shapes-clip", 63)])
def test_too_few_samples_to_measure_are_one_clear_error(name, samples):
    with pytest.raises(ZooError, match=rf"{samples}.* at least"):
        check.measure(name, samples=samples)


def test_a_model_that_was_not_measured_has_no_row(monkeypatch):
    monkeypatch.setattr(table, "card", lambda name: {"steps": 1})
    with pytest.raises(ZooError, match="shapes-vit was trained but not measured"):
        page()


def test_the_page_has_a_row_for_each_model():
    text = page()
    for name in names():
        assert f"| `zoo:{name}` |" in text
    assert "accuracy 99." in text
    assert PAGE.read_text(encoding="utf-8") == text, "run: python -m anylens.zoo.table > docs/zoo.md"
