"""Training the whole zoo: so many models at a time, each after those that it needs."""

import re
import sys
import threading
from pathlib import Path

import pytest

from anylens.zoo import entry, names
from anylens.zoo.catalogue import ENTRIES, Entry
from anylens.zoo.train import __main__ as whole


def test_each_model_waits_for_what_it_needs_and_no_more_run_at_a_time_than_asked():
    lock, running, most, done = threading.Lock(), set(), [], []

    def train(name):
        with lock:
            assert entry(name).needs <= set(done)
            running.add(name)
            most.append(len(running))
        threading.Event().wait(0.01)
        with lock:
            running.remove(name)
            done.append(name)
        return True

    assert whole.in_turn(names(), train, jobs=3) == []
    assert sorted(done) == sorted(names())
    assert max(most) == 3


def test_what_fails_takes_with_it_only_those_that_need_it():
    tried = []
    failed = whole.in_turn(names(), lambda name: bool(tried.append(name)) or name != "shapes-resnet", jobs=2)
    assert set(failed) == {"shapes-resnet", "shapes-vae", "shapes-diffusion", "shapes-dit"}
    assert set(tried) == set(names()) - {"shapes-vae", "shapes-diffusion", "shapes-dit"}


def test_models_that_are_not_asked_for_are_not_waited_for():
    tried = []
    assert whole.in_turn(["shapes-dit"], lambda name: not tried.append(name), jobs=2) == []
    assert tried == ["shapes-dit"]


def test_a_script_says_its_name_on_each_line_and_whether_it_ended_well(capfd, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert not whole.script("shapes-vit", threads=1)
    monkeypatch.setattr(sys, "executable", "/bin/echo")
    assert whole.script("shapes-vit", threads=1)
    assert capfd.readouterr().out == "shapes-vit: -u -m anylens.zoo.train.shapes_vit --threads 1\n"


def test_failures_are_named_at_the_end(monkeypatch):
    monkeypatch.setattr(whole, "script", lambda name, *, threads: False)
    with pytest.raises(SystemExit, match="not trained: grammar-gpt2"):
        whole.main(["grammar-gpt2"])


def test_no_jobs_at_a_time_are_one_line(capsys):
    with pytest.raises(SystemExit):
        whole.main(["--jobs", "0"])
    assert "--jobs is 0" in capsys.readouterr().err


def test_what_a_new_model_makes_stale_is_named(monkeypatch, capsys):
    monkeypatch.setattr(whole, "script", lambda name, *, threads: True)
    whole.main(["shapes-vae"])
    assert capsys.readouterr().out.endswith("as well: shapes-dit, shapes-diffusion\n")
    whole.main([])
    assert capsys.readouterr().out == ""


def loaded(known: Entry) -> set[str]:
    """The other models that a model's script and its measure load, read in their text."""
    zoo = Path(whole.__file__).parents[1]
    script = (zoo / "train" / f"{known.name.replace('-', '_')}.py").read_text()
    measure = (zoo / "measure" / f"{known.measure}.py").read_text()
    judge = (zoo / "measure" / "judge.py").read_text() if "measure.judge import" in measure else ""
    return set(re.findall(r'load_model\("([^"]+)"\)', script + measure + judge))


@pytest.mark.parametrize("known", ENTRIES, ids=lambda known: known.name)
def test_a_model_needs_what_its_script_and_its_measure_load_and_comes_after_it(known):
    assert known.needs == loaded(known)
    assert known.needs <= set(names()[: names().index(known.name)])
