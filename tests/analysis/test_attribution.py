"""Estimates from gradients: exact where the model is linear, complete along the way, and near true patching."""

import pytest
import torch
from torch import nn

import anylens
from anylens.analysis.attribution import Agreement, agreement, attribution_patching, integrated_gradients
from anylens.analysis.metrics import answers, logit, logit_difference
from anylens.analysis.patching import patching_sweep
from anylens.core.errors import RunError, ShapeError
from tests.analysis.planted import planted


@pytest.fixture(scope="module")
def made():
    return planted()


@pytest.fixture(scope="module")
def circuit(made):
    return anylens.attach(made.model, example=made.clean)


@pytest.fixture(scope="module")
def what(made):
    return {"source": made.corrupted, "metric": logit_difference(made.answers, made.wrong)}


def entering(module, model, ids):
    """What enters a module in a forward, with its graph, and the model's output."""
    found = []
    handle = module.register_forward_pre_hook(lambda m, args: found.append(args[0]))
    try:
        return model(ids), found[0]
    finally:
        handle.remove()


def test_one_backward_is_the_gradient_times_the_difference(made, circuit, what):
    grid = attribution_patching(circuit, made.clean, points="blocks.1.attn.hook_z", over="pos head", **what)
    merge = made.model.blocks[1].attn.o
    output, clean = entering(merge, made.model, made.clean)
    _, corrupted = entering(merge, made.model, made.corrupted)
    (gradient,) = torch.autograd.grad(what["metric"](output).sum(), clean)
    expected = (gradient * (corrupted - clean)).unflatten(-1, (3, -1)).sum(-1)
    torch.testing.assert_close(grid.effect[:, 0], expected.detach(), atol=1e-5, rtol=1e-4)


def test_in_a_linear_model_it_is_exact():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    one, other = torch.randn(2, 2, 4)
    lens = anylens.attach(model, example=one)
    what = {"source": other, "points": "0.hook_out", "metric": logit(1), "over": ""}
    estimate, truth = attribution_patching(lens, one, **what), patching_sweep(lens, one, **what)
    torch.testing.assert_close(estimate.values, truth.values)
    assert estimate.effect.abs().max() > 0.1


def test_it_finds_the_planted_circuit_as_true_patching_does(made, circuit, what):
    how = {**what, "points": "blocks.*.attn.hook_z", "over": "head"}
    truth, estimate = (
        patching_sweep(circuit, made.clean, **how),
        attribution_patching(circuit, made.clean, **how),
    )
    heads = {(cell["layer"], cell["head"]) for cell in truth.strongest(2)}
    assert heads == {made.facts.previous_head, made.facts.induction_head}
    assert {(cell["layer"], cell["head"]) for cell in estimate.strongest(2)} == heads
    assert agreement(estimate, truth).signs == 1
    assert agreement(truth, truth) == Agreement(pytest.approx(1), 1)


def test_agreement_on_a_trained_model():
    lens = anylens.load("zoo:grammar-gpt2")
    king, kings = (
        lens.processor(f"today the {w} near the queen", return_tensors="pt") for w in ("king", "kings")
    )
    metric = logit_difference(*lens.processor.convert_tokens_to_ids(["praises", "praise"]))
    how = {"source": king, "points": "blocks.*.attn.hook_z", "metric": metric, "over": "pos head"}
    truth, estimate = patching_sweep(lens, kings, **how), attribution_patching(lens, kings, **how)
    found = agreement(estimate, truth)
    assert found.correlation > 0.8
    assert found.signs > 0.8
    assert (
        truth.strongest() == estimate.strongest() == [{"layer": 1, "pos": 6, "head": 1}]
    )  # agreement's head


@pytest.mark.parametrize("points", ["hook_embed", "blocks.1.hook_resid_pre"])
def test_integrated_gradients_add_up(made, circuit, what, points):
    whole = patching_sweep(circuit, made.clean, points=points, over="", **what).effect[:, 0]
    grid = integrated_gradients(circuit, made.clean, points=points, over="pos", steps=32, **what)
    torch.testing.assert_close(grid.effect.sum((1, 2)), whole, atol=2e-2, rtol=1e-3)
    coarse = attribution_patching(circuit, made.clean, points=points, over="pos", **what)
    assert (coarse.effect.sum((1, 2)) - whole).abs().min() > 0.5  # one gradient does not


def test_what_cannot_be_done_is_refused(made, circuit, what):
    points = "blocks.0.hook_resid_pre"
    with pytest.raises(RunError, match="no gradient"):
        attribution_patching(circuit, made.clean, points=points, source=made.corrupted, metric=answers(1))
    with pytest.raises(ShapeError, match="differ in their cells"):
        agreement(
            *(attribution_patching(circuit, made.clean, points=points, over=o, **what) for o in ("", "pos"))
        )
    with pytest.raises(ShapeError, match="at least one"):
        integrated_gradients(circuit, made.clean, points=points, steps=0, **what)
