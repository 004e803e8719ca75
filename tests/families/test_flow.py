"""Flows: what passes each layer, and how much it stretches space, in both directions."""

import pytest
import torch

import anylens
from tests.models import flow


@pytest.fixture(params=flow.MODELS.values(), ids=flow.MODELS)
def made(request):
    model, given = request.param()
    return anylens.attach(model), given["x"]


def test_log_determinants_are_points_in_both_directions(made):
    lens, x = made
    there, forward = lens.run_with_cache(x, points="flow.*.hook_log_det")
    back, inverse = lens.run_with_cache(there.value, points="flow.*.hook_log_det", method="inverse")
    torch.testing.assert_close(back.value, x, atol=1e-5, rtol=1e-5)
    for number in range(4):
        name = f"flow.{number}.hook_log_det"
        assert lens.points[name].axes == ("batch",)
        assert torch.equal(forward[name], there.log_dets[:, number])
        assert torch.equal(inverse[name], back.log_dets[:, number])


def test_layers_pass_on_what_they_get(made):
    lens, x = made
    out, cache = lens.run_with_cache(x, points=["flow.*.hook_in", "flow.*.hook_out"])
    assert torch.equal(cache["flow.0.hook_in"], x)
    assert torch.equal(cache["flow.1.hook_in"], cache["flow.0.hook_out"])
    assert torch.equal(cache["flow.3.hook_out"], out.value)
    _, back = lens.run_with_cache(out.value, points=["flow.*.hook_in", "flow.*.hook_out"], method="inverse")
    torch.testing.assert_close(back["flow.1.hook_out"], cache["flow.1.hook_in"], atol=1e-5, rtol=1e-5)


def test_an_edit_of_a_log_determinant_is_in_the_density(made):
    lens, x = made
    hooks = {"flow.2.hook_log_det": anylens.add(torch.tensor(2.0))}
    edited = lens.run_with_hooks(x, hooks=hooks, method="log_prob")
    torch.testing.assert_close(edited, lens.model.log_prob(x) + 2)


def test_operations_of_the_inverse_are_points_of_a_lens_on_it(made):
    lens, x = made
    inverse = anylens.attach(lens.model, method="inverse")
    name = "layers.1.op.sub.0.hook_out"  # what is left when the shift is taken off
    assert name in inverse.points.ops
    assert name not in lens.points.ops
    out, cache = inverse.run_with_cache(x, points=[name, "flow.1.hook_log_det"])
    assert torch.equal(cache["flow.1.hook_log_det"], out.log_dets[:, 1])
    assert cache[name].shape == x.shape


def test_what_couplings_rescale_is_no_residual_stream(made):
    lens, _ = made
    assert not lens.anatomy.streams
