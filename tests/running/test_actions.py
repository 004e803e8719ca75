"""Hooks as they are given: what is refused before the model runs, and what a hook may do."""

import pytest
import torch
from torch import nn

import anylens
from anylens.core.errors import EditError, RunError, RunMismatchError


@pytest.fixture
def made():
    model, example = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(3, 4)
    return model, example, anylens.attach(model, example)


@pytest.mark.parametrize(
    "hooks",
    [
        None,
        [("0.hook_out", anylens.scale(0))],
        *(
            {"0.hook_out": wrong}
            for wrong in (None, 3, "zero", torch.zeros(4), [None], [anylens.scale(0), 3])
        ),
    ],
)
def test_what_are_no_hooks_is_refused_before_the_model_runs(made, hooks):
    model, example, lens = made
    ran = []
    handle = model.register_forward_pre_hook(lambda *_: ran.append(1))
    with pytest.raises(EditError, match="given|Give"):
        lens.run_with_hooks(example, hooks=hooks)
    handle.remove()
    assert not ran


def test_a_hook_may_call_the_model_and_the_lens(made):
    model, example, lens = made
    other = torch.randn(3, 4)

    def from_another_run(value, _at):
        _, cache = lens.run_with_cache(other, points="0.hook_out")
        assert torch.equal(model(other), model[2](model[1](cache["0.hook_out"])))
        return cache["0.hook_out"]

    for name in ("0.hook_out", "0.op.linear.0.hook_out"):
        assert torch.equal(lens.run_with_hooks(example, hooks={name: from_another_run}), model(other))


def test_a_detached_lens_keeps_no_hooks(made):
    model, example, lens = made
    lens.detach()
    with pytest.raises(RunError, match="detached"), lens.hooks({"0.hook_out": anylens.scale(0)}):
        model(example)


@pytest.mark.parametrize("wrong", ["gpu", 3.5, ["cpu", "gpu"]])
def test_a_target_that_is_none_is_refused(made, wrong):
    _, example, lens = made
    with pytest.raises(RunError, match="device"):
        lens.run_with_cache(example, points="0.hook_out", to=wrong)


def test_a_method_that_there_is_not(made):
    _, example, lens = made
    with pytest.raises(RunError, match="no method 'nope'"):
        lens.run_with_cache(example, points="0.hook_out", method="nope")


def test_packed_rows_are_refused_and_the_message_says_how_to_run():
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    given = {
        "src": torch.randn(2, 5, 16),
        "src_key_padding_mask": torch.tensor([[False] * 3 + [True] * 2, [False] * 5]),
    }
    lens = anylens.attach(model, given)
    for name in ("blocks.1.attn.hook_z", "blocks.1.hook_resid_pre", "layers.1.hook_out"):
        with torch.no_grad(), pytest.raises(RunMismatchError, match="enable_nested_tensor=False"):
            lens.run_with_cache(given, points=name)
    lens.run_with_cache(given, points="blocks.1.attn.hook_z")
    model.use_nested_tensor = False
    with torch.no_grad():
        _, cache = lens.run_with_cache(given, points="blocks.1.attn.hook_z")
    assert cache["blocks.1.attn.hook_z"].shape == (2, 5, 4, 4)
