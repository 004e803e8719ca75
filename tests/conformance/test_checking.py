"""The report, the choice of checks and points, the command and the fixture."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

import anylens
from anylens.cli import main
from anylens.conformance import CHECKS, Failure, Outcome, Report, Sampling, check, hygiene
from anylens.conformance.pytest_plugin import conformance
from anylens.conformance.sampling import every_nth
from anylens.core.errors import ConformanceError, UnknownPointError
from anylens.lens import Lens

FEW = Sampling(native=4, ops=4)
FAILED = Report("Model", (Outcome("edits", "edits act", 3, (Failure("a.hook_out", "stays"),), ("a note",)),))


class Unreliable(nn.Linear):
    """Gives another output each time, whatever the seed."""

    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().forward(x) + self.calls


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYLENS_CACHE", str(tmp_path))


@pytest.fixture
def small():
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).eval(), torch.randn(2, 5)


def test_a_report_that_holds(small):
    model, example = small
    report = check(anylens.attach(model, example), example, sampling=FEW)
    assert report.ok
    assert report.require() is report
    assert [outcome.name for outcome in report.outcomes] == [one.name for one in CHECKS]
    assert "all hold" in report.table()
    assert report["values"].count > 10


def test_a_report_that_does_not_hold():
    assert not FAILED.ok
    assert FAILED.failed == ("edits",)
    with pytest.raises(ConformanceError, match=r"a\.hook_out: stays"):
        FAILED.require()
    assert json.loads(json.dumps(FAILED.as_data()))["checks"][0]["failures"] == [
        {"point": "a.hook_out", "seen": "stays"}
    ]


def test_names_of_checks_are_told_apart():
    names = [one.name for one in CHECKS]
    assert len(set(names)) == len(names)


def test_only_some_checks_and_points(small):
    model, example = small
    report = check(anylens.attach(model, example), example, points="*.hook_out", checks=["values"])
    assert [outcome.name for outcome in report.outcomes] == ["values"]
    assert report.ok
    assert report["values"].count == 4  # three modules, and the output under plain hooks


def test_an_unknown_check_lists_the_nearest(small):
    model, example = small
    with pytest.raises(UnknownPointError, match="values"):
        check(anylens.attach(model, example), example, checks=["value"])


def test_without_an_example(small):
    model, example = small
    with pytest.raises(ConformanceError, match="Pass an example"):
        check(anylens.attach(model, example))


def test_a_lens_that_was_not_watched(small):
    model, example = small
    assert check(Lens(model), example, checks=["values", "read-only"]).ok


def test_a_model_that_is_not_the_same_twice():
    model, example = Unreliable(5, 3), torch.randn(2, 5)
    report = check(anylens.attach(model, example), example, checks=["read-only"])
    assert "two outputs for one input" in report["read-only"].failures[0].seen


def test_the_model_is_left_as_it_was(small):
    model, example = small
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check(anylens.attach(model, example), example, sampling=FEW)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training
    assert torch.backends.mha.get_fastpath_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


def test_sampling_takes_the_same_points_each_time():
    assert every_nth(range(10), 4) == [0, 3, 6, 9]
    assert every_nth(range(3), 4) == [0, 1, 2]
    assert every_nth([], 4) == []
    assert every_nth(range(3), 0) == []


MODULE = """
import torch
def good():
    return torch.nn.Linear(5, 3), torch.randn(2, 5)
class Restless(torch.nn.Linear):
    def forward(self, x):
        self.bias.data += 1
        return super().forward(x)
def bad():
    return Restless(5, 3), torch.randn(2, 5)
def neither():
    return 3
"""


@pytest.fixture
def models_here(tmp_path, monkeypatch):
    (tmp_path / "conformance_cli_models.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield "conformance_cli_models"
    sys.modules.pop("conformance_cli_models", None)


def test_the_command_prints_the_table(models_here, capsys):
    assert main(["check", f"{models_here}:good", "--native", "4", "--ops", "4"]) == 0
    assert "all hold" in capsys.readouterr().out


def test_the_command_prints_json_and_fails(models_here, capsys):
    assert main(["check", f"{models_here}:bad", "--json", "--checks", "read-only"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_on_a_terminal_each_check_is_told_as_it_ends(models_here, capsys, monkeypatch):
    command = ["check", f"{models_here}:good", "--json", "--checks", "values", "hygiene"]
    assert main(command) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(command) == 0
    told = capsys.readouterr()
    assert [line.split()[1] for line in told.err.splitlines()] == ["values", "hygiene"]
    assert json.loads(told.out)["ok"]  # what is told does not get into what is piped on


def test_an_interrupted_check_leaves_the_model_as_it_was(small):
    model, example = small
    lens = anylens.attach(model, example)

    def interrupted(value, at):
        raise KeyboardInterrupt

    before = hygiene.state(model)
    with pytest.raises(KeyboardInterrupt):
        lens.run_with_hooks(example, hooks={"0.hook_out": interrupted})
    assert hygiene.state(model) == before

    def stop(outcome):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(lens, example, checks=["values"], progress=stop)
    assert hygiene.state(model) == before
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize(
    ("name", "message"),
    [("neither", "must return a torch.nn.Module"), ("nothing", "nothing callable named 'nothing'")],
)
def test_the_command_refuses_what_is_no_model(models_here, capsys, name, message):
    assert main(["check", f"{models_here}:{name}"]) == 2
    assert message in capsys.readouterr().err


def test_the_command_refuses_a_module_that_is_not_there(capsys):
    assert main(["check", "no_such_module:model"]) == 2
    assert "no_such_module" in capsys.readouterr().err


def test_the_helper_returns_the_report_or_raises(small):
    model, example = small
    assert conformance(model, example, sampling=FEW).ok
    assert conformance(anylens.attach(model, example), example, checks=["values"]).ok
    with pytest.raises(ConformanceError, match="two outputs"):
        conformance(Unreliable(5, 3), torch.randn(2, 5), checks=["read-only"])


TEST = """
import torch
def test_mine(anylens_conformance):
    anylens_conformance(torch.nn.Linear(5, 3), torch.randn(2, 5), checks=["values", "edits-native"])
"""


def test_the_fixture_works_for_others(tmp_path):
    (tmp_path / "test_mine.py").write_text(TEST)
    plugin = "anylens.conformance.pytest_plugin"
    command = [sys.executable, "-m", "pytest", "-q", "-p", plugin, "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
