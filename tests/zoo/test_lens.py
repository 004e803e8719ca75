"""Every model of the zoo comes with a lens on it, quickly, and the lens keeps its contract on trained weights."""

import time

import pytest

import anylens
from anylens.conformance import Sampling, check
from anylens.zoo import entry, names

FEW = Sampling(native=2, ops=2, alone=8, blocks=1)
LONG = ("shapes-diffusion", "shapes-dit", "melodies-musicgen")  # tests/conformance has their classes, tiny

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", names())
def test_a_lens_comes_with_model_processor_and_world(name):
    lens = anylens.load(f"zoo:{name}")
    known = entry(name)
    assert type(lens.model).__name__ == known.model_class.partition(":")[2]
    assert lens.world.__name__ == f"anylens.zoo.worlds.{known.world}"
    assert (lens.processor is not None) or known.processor_class is None
    assert len(lens.points) > 10
    started = time.process_time()
    anylens.load(f"zoo:{name}")  # its library is imported and its anatomy known
    assert time.process_time() - started < 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.wide if name in LONG else ()) for name in names()]
)
def test_the_lens_keeps_the_contract(name):
    check(anylens.load(f"zoo:{name}"), sampling=FEW).require()
