"""Every check holds on a tiny model of every class that the rows of families name."""

import pytest
import torch

import anylens
from anylens.conformance import CHECKS, Sampling, check
from tests.models import ROWS

pytestmark = pytest.mark.filterwarnings("ignore")

FEW = Sampling(native=8, ops=8)
NAMED = {f"{row}:{name}": make for row, makers in ROWS.items() for name, make in makers.items()}


@pytest.fixture(autouse=True)
def _one_thread(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYLENS_CACHE", str(tmp_path))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", NAMED)
def test_every_check_holds(name):
    model, example = NAMED[name]()
    report = check(anylens.attach(model, example), example, sampling=FEW).require()
    assert len(report.outcomes) == len(CHECKS)
    assert report["values"].count
    assert report["hygiene"].count
