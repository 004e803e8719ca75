"""Two processes train as one does: the same curve, the same files, and a checkpoint of either goes on with the other.

In float64, where only the order of sums differs: curves agree to 1e-9 (L0 is a float32 always). In float32
the same differences are near 1e-7 a step and grow, until some pre-activation that is nearly the k-th largest falls on
the other side.
"""

import json

import pytest
import torch

from anylens.core.errors import RankError, SaeError
from anylens.sae import load, make, train
from anylens.sae.checkpoint import CHECKPOINT
from anylens.sae.ranks.launch import start
from anylens.store.batches import Batches
from anylens.store.reader import InMemory
from tests.sae.ranks.work import CASES, CUT, cut_off, everything, one_is_killed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which one process trained everything, and two did."""
    folder = tmp_path_factory.mktemp("ranks")
    for variant in dict.fromkeys(case.variant for case in CASES):
        next(case for case in CASES if case.variant == variant).run(folder / "one" / variant)
    for case in CUT:
        cut_off(case, folder / "one-two" / case.name)
    with pytest.raises(SaeError) as failure:  # at the end one rank fails
        start(2, everything, folder)
    (folder / "failure").write_text(str(failure.value))
    return folder


def curve(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def expect_same(folder, other):
    wanted, found = curve(other), curve(folder)
    assert [line["step"] for line in found] == [line["step"] for line in wanted]
    for one, two in zip(wanted, found, strict=True):
        assert one.keys() == two.keys()
        for name, value in one.items():
            if name != "fvu" or value < 10:  # a batch of one row has no variance
                assert two[name] == pytest.approx(value, rel=1e-9 if name != "l0" else 1e-6), (
                    name,
                    one["step"],
                )
    one, two = load(other / "sae"), load(folder / "sae")
    for (name, weight), again in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        torch.testing.assert_close(again, weight, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_two_ranks_have_the_curve_of_one(case, folder):
    expect_same(folder / "two" / case.name, folder / "one" / case.variant)
    revived = any(line.get("auxiliary") for line in curve(folder / "one" / case.variant))
    assert revived or case.variant not in ("topk", "batchtopk", "matryoshka")


@pytest.mark.parametrize("case", CUT, ids=lambda case: case.name)
def test_a_checkpoint_goes_on_with_another_number_of_ranks(case, folder):
    case.run(folder / "two-one" / case.name)
    for way in ("two-one", "one-two"):
        expect_same(folder / way / case.name, folder / "one" / case.variant)
    one, two = (folder / name / CHECKPOINT for name in (f"one/{case.variant}", f"two/{case.name}"))
    assert one.stat().st_size == two.stat().st_size  # whole tensors, as one process writes them


def test_the_error_that_comes_back_is_the_cause(folder):
    assert (
        folder / "failure"
    ).read_text() == "The disk is full."  # and not that the other rank then heard nothing


@pytest.mark.wide
def test_a_rank_that_is_killed_is_named():
    with pytest.raises(RankError, match="Rank 1 was ended from outside by SIGKILL"):
        start(2, one_is_killed)


def test_what_cannot_be_started():
    with pytest.raises(SaeError, match="two or more"):
        start(1, everything)
    with pytest.raises(SaeError, match="'data' or 'dictionary'"):
        train(make("topk", 4, 8, k=2), Batches(InMemory(torch.randn(9, 4)), 3), parallel="rows")
