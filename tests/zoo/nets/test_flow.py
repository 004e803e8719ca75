"""A RealNVP is undone by its inverse, and its log-determinants are those of its Jacobian."""

import pytest
import torch

from anylens.zoo.nets.flow import RealNVP, mask_of

SHAPES = [(5,), (3, 6, 4), (1, 4, 6)]


@pytest.fixture(params=SHAPES, ids=str)
def flow(request) -> RealNVP:
    return RealNVP(request.param, layers=5, hidden=8).double().eval()


def test_the_inverse_undoes_the_flow(flow):
    x = torch.randn(2, *flow.shape).double()
    there = flow(x)
    back = flow.inverse(there.value)
    assert not torch.allclose(there.value, x)
    torch.testing.assert_close(back.value, x)
    torch.testing.assert_close(back.log_dets, -there.log_dets)
    assert there.log_dets.shape == (2, 5)


def test_log_determinants_are_those_of_the_jacobian(flow):
    x = torch.randn(1, *flow.shape).double()
    jacobian = torch.autograd.functional.jacobian(lambda value: flow(value).value, x)
    size = x.numel()
    expected = jacobian.reshape(size, size).slogdet().logabsdet
    torch.testing.assert_close(flow(x).log_dets.sum(), expected)


def test_a_coupling_leaves_one_half_as_it_is(flow):
    x = torch.randn(2, *flow.shape).double()
    for layer in flow.layers:
        kept = layer.mask.bool().expand_as(x)
        value, _ = layer(x)
        assert torch.equal(value[kept], x[kept])
        assert (value[~kept] != x[~kept]).all()


def test_two_layers_after_each_other_change_everything(flow):
    assert all(bool((mask_of(flow.shape, n) + mask_of(flow.shape, n + 1) == 1).all()) for n in (0, 2, 4))


def test_the_density_of_a_flow_without_layers_is_the_normal_one():
    x = torch.randn(4, 3)
    flow = RealNVP((3,), layers=1)
    torch.nn.init.zeros_(flow.layers[0].scale)
    torch.nn.init.zeros_(flow.layers[0].net[-1].weight)
    torch.nn.init.zeros_(flow.layers[0].net[-1].bias)
    expected = torch.distributions.Normal(0, 1).log_prob(x).sum(1)
    torch.testing.assert_close(flow.log_prob(x), expected)


def test_samples_have_the_shape_of_the_data(flow):
    assert flow.float().sample(3).shape == (3, *flow.shape)
