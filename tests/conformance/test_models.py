"""Every check holds on tiny models of the real classes."""

import pytest
import torch

import anylens
from anylens.conformance import CHECKS, Sampling, check
from tests.conformance.models import MODELS

pytestmark = pytest.mark.filterwarnings("ignore")

# Sizes are distinct; fewer native points and operations are edited than by default, to save time.
FEW = Sampling(native=10, ops=10)
WITHOUT_STREAM = {"perceptron", "lstm"}


@pytest.fixture(autouse=True)
def _one_thread(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYLENS_CACHE", str(tmp_path))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", MODELS)
def test_every_check_holds(name):
    model, example = MODELS[name]()
    report = check(anylens.attach(model, example), example, sampling=FEW).require()
    assert len(report.outcomes) == len(CHECKS)
    assert bool(report["edits"].count) == (name not in WITHOUT_STREAM)
    assert report["values"].count
    assert report["hygiene"].count
