"""Which points are edited one by one: all in small models, some blocks in long ones, and no name left out."""

import pytest
import torch

import anylens
from anylens.conformance import Sampling, check
from anylens.conformance.sampling import some_blocks
from anylens.conformance.subject import Subject
from tests.models import MODELS, POSITIONS, VOCABULARY

pytestmark = pytest.mark.filterwarnings("ignore")
BLOCKS = 8


def names(*blocks: str) -> dict[int, frozenset[str]]:
    return {number: frozenset(held.split()) for number, held in enumerate(blocks)}


def test_few_blocks_are_all_edited():
    assert some_blocks(names("a", "a", "a"), 3) == [0, 1, 2]


def test_of_many_blocks_the_first_the_middle_and_the_last_are_edited():
    assert some_blocks(names(*["a b"] * 30), 6) == [0, 15, 29]


def test_a_name_that_they_lack_brings_its_first_block():
    assert some_blocks(names("a", "a", "a c", "a c", "a", "a", "a d", "a"), 6) == [0, 2, 4, 6, 7]


def test_blocks_without_points_do_not_count():
    assert some_blocks(names("", "", "a", "a", "", "a", ""), 3) == [2, 3, 5]


@pytest.fixture(scope="module")
def long():
    """A GPT-2 of eight blocks."""
    import transformers

    config = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=12, n_layer=BLOCKS, n_head=3, n_positions=16
    )
    example = {"input_ids": torch.randint(3, VOCABULARY, (2, POSITIONS))}
    return anylens.attach(transformers.GPT2LMHeadModel(config).eval(), example), example


def subject(lens, example, *points, **sampling) -> Subject:
    chosen = {p.name for pattern in points for p in lens.points.select(pattern)} if points else None
    return Subject(lens, ((), example), chosen, Sampling(**sampling))


def test_every_name_and_every_point_outside_the_blocks_is_edited(long):
    found = subject(*long)
    edited = {point.name for point in found.edited}
    everywhere = {point.name for point in found.canonical if point.layer is None}
    assert everywhere
    assert everywhere <= edited
    last = {name.split(".", 2)[2] for name in edited - everywhere}
    assert last == {point.name.split(".", 2)[2] for point in found.canonical if point.layer is not None}
    assert {point.layer for point in found.edited if point.layer is not None} == {0, BLOCKS // 2, BLOCKS - 1}


def test_a_higher_limit_edits_every_block(long):
    found = subject(*long, blocks=BLOCKS)
    assert found.edited == found.canonical


def test_points_asked_for_are_edited_wherever_they_lie(long):
    found = subject(*long, "blocks.5.*")
    assert {point.layer for point in found.edited} == {5}


def test_a_small_model_has_every_canonical_point_edited():
    model, example = MODELS["gpt2"]()
    found = subject(anylens.attach(model, example), example)
    assert found.edited == found.canonical


def test_a_long_model_holds_and_the_report_says_which_blocks(long):
    lens, example = long
    ended = []
    checks = ["edits", "edits-arrive-once", "order", "order-within", "attention-reach"]
    report = check(lens, example, checks=checks, progress=ended.append).require()
    assert report["edits"].count == len(subject(lens, example).edited)
    assert "of 8 blocks 0, 4, 7" in " ".join(report.scope)
    assert tuple(ended) == report.outcomes
    assert all(outcome.seconds > 0 for outcome in ended)
