"""A lens on a method that runs the model without being its forward."""

import pytest
import torch
from torch import nn

import anylens
from anylens.conformance import check
from anylens.core.errors import AttachError, RunError


class Codec(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(6, 4), nn.Linear(4, 6)

    def encode(self, signal):
        return torch.tanh(self.down(signal) * 2)

    def forward(self, signal):
        return self.up(self.encode(signal))


@pytest.fixture
def codec() -> Codec:
    return Codec().eval()


def test_the_method_is_watched_and_run_in_the_place_of_the_forward(codec):
    signal = torch.randn(3, 6)
    lens = anylens.attach(codec, {"signal": signal}, method="encode")
    out, cache = lens.run_with_cache(signal, points=["down.hook_out", "op.mul.0.hook_out"])
    assert torch.equal(out, codec.encode(signal))
    assert torch.equal(cache["op.mul.0.hook_out"], codec.down(signal) * 2)
    assert not any(name.startswith("up.") for name in lens.points)
    edited = lens.run_with_hooks(signal, hooks={"op.mul.0.hook_out": anylens.scale(0)})
    assert torch.equal(edited, torch.zeros(3, 4))


def test_the_model_itself_stays_as_it_is(codec):
    signal = torch.randn(3, 6)
    before, held = codec(signal), dict(vars(codec))
    calls = []
    codec.register_forward_hook(lambda *_: calls.append(1))
    lens = anylens.attach(codec, signal, method="encode")
    assert check(lens, signal).ok
    assert not calls, "the model's own hooks are on its forward"
    assert torch.equal(codec(signal), before)
    assert vars(codec).keys() == held.keys()
    assert isinstance(lens.model, Codec)
    assert lens.model.down is codec.down


def test_the_anatomy_of_a_method_is_not_taken_for_the_forwards(codec):
    signal = torch.randn(3, 6)
    anylens.attach(codec, signal, method="encode")
    assert "up.hook_out" in anylens.attach(codec, signal).points
    assert "up.hook_out" in anylens.attach(codec).points
    assert "up.hook_out" not in anylens.attach(codec, method="encode").points


def test_points_of_the_forward_alone_are_not_reached_by_a_method_and_the_error_says_what_to_do(codec):
    signal = torch.randn(3, 6)
    lens = anylens.attach(codec, signal)
    _, cache = lens.run_with_cache(signal, points="down.hook_out", method="encode")
    assert torch.equal(cache["down.hook_out"], codec.down(signal))
    with pytest.raises(RunError, match=r"attach\(model, example, method=NAME\)"):
        lens.run_with_cache(signal, points="up.hook_out", method="encode")


def test_what_is_no_method_is_refused(codec):
    with pytest.raises(RunError, match="no method 'decode'"):
        anylens.attach(codec, torch.randn(3, 6), method="decode")


def test_a_pipeline_has_models_and_these_have_methods(codec):
    class Pipeline:
        components = {"codec": codec}  # noqa: RUF012

        def __call__(self, signal):
            return codec(signal)

    with pytest.raises(AttachError, match="a pipeline"):
        anylens.attach(Pipeline(), method="encode")
