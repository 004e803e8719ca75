"""Ablation by zero, mean and other inputs: what plain edits give, and the head that agreement needs."""

import pytest
import torch

import anylens
from anylens.analysis.ablation import ablation_sweep, mean_of, resampled
from anylens.analysis.metrics import logit_difference
from anylens.analysis.sweeping import Windows
from anylens.core.errors import AxisError

POINT = "blocks.1.attn.hook_z"
metric = logit_difference(0, 1)


@pytest.fixture
def inputs():
    return {"pixel_values": torch.randn(2, 3, 8, 8)}


@pytest.fixture
def others():
    return {"pixel_values": torch.randn(6, 3, 8, 8)}


def by_hand(lens, inputs, value, **where):
    hooks = {POINT: anylens.set_to(value).on(**where)}
    with torch.no_grad():
        return metric(lens.run_with_hooks(**inputs, hooks=hooks))


def test_zeros(lens, inputs):
    grid = ablation_sweep(
        lens, inputs, points="blocks.*.attn.hook_z", metric=metric, over={"pos": Windows(2), "head": None}
    )
    assert (grid.axes, grid.values.shape) == (("row", "layer", "pos", "head"), (2, 3, 4, 2))
    torch.testing.assert_close(
        grid.at(layer=1, pos=(1, 2), head=1),
        by_hand(lens, inputs, 0.0, pos=[1, 2], head=1),
        atol=1e-6,
        rtol=1e-5,
    )
    assert grid.source is None
    assert grid.effect.abs().max() > 1e-3


@pytest.mark.parametrize(("over", "axes"), [("batch", [0]), ("batch pos", [0, 1])])
def test_means_of_other_inputs(lens, inputs, others, over, axes):
    grid = ablation_sweep(
        lens, inputs, points=POINT, metric=metric, over="head", to=mean_of(others, over=over)
    )
    _, cache = lens.run_with_cache(**others, points=POINT)
    mean = cache[POINT].mean(axes, keepdim=True)[:, :, [1]].expand(2, 5, 1, -1)
    torch.testing.assert_close(
        grid.at(head=1, layer=1), by_hand(lens, inputs, mean, head=1), atol=1e-6, rtol=1e-5
    )


def test_what_other_inputs_have_there(lens, inputs, others):
    """Each row takes what one of the other inputs has, the same one at all points."""
    sweep = lambda seed: ablation_sweep(  # noqa: E731
        lens, inputs, points="blocks.*.attn.hook_z", metric=metric, over="", to=resampled(others, seed=seed)
    )
    grid = sweep(0)
    _, cache = lens.run_with_cache(**others, points="blocks.*.attn.hook_z")
    taken = []
    for layer in range(3):
        name = f"blocks.{layer}.attn.hook_z"
        each = []
        for other in range(6):
            hooks = {name: anylens.set_to(cache[name][[other, other]])}
            each.append(metric(lens.run_with_hooks(**inputs, hooks=hooks)))
        gaps = (torch.stack(each) - grid.at(layer=layer)).abs()
        assert gaps.min(0).values.max() < 1e-5
        taken.append(gaps.argmin(0).tolist())
    assert taken[0] == taken[1] == taken[2]
    assert torch.equal(sweep(0).values, grid.values)
    assert any(not torch.equal(sweep(seed).values, grid.values) for seed in (1, 2, 3))


def test_what_cannot_be_done_is_refused(lens, inputs, others):
    with pytest.raises(AxisError, match="no mean over 'frame'"):
        ablation_sweep(lens, inputs, points=POINT, metric=metric, to=mean_of(others, over="frame"))


def test_the_head_that_agreement_needs():
    """One head of the grammar model carries the subject's number to the verb; without it the verb does not agree."""
    lens = anylens.load("zoo:grammar-gpt2")
    batch = [
        f"today the {who} near the {other}"
        for who in ("kings", "cows", "aunts")
        for other in ("queen", "hen")
    ]
    kings = dict(lens.processor(batch, return_tensors="pt"))
    metric = logit_difference(*lens.processor.convert_tokens_to_ids(["praise", "praises"]))
    grid = ablation_sweep(lens, kings, points="blocks.*.attn.hook_z", metric=metric, over="head")
    assert grid.strongest() == [{"layer": 1, "head": 1}]
