"""Steps: exactly the chosen ones, equal to what a plain hook appends to a list."""

import pytest
import torch
from torch import nn

import anylens
from anylens.core.errors import RunError, UnknownPointError
from tests import models

SETTINGS = {
    "method": "generate",
    "max_new_tokens": 6,
    "do_sample": False,
    "pad_token_id": 0,
    "eos_token_id": None,
}


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(0)
    model, example = models.llama()
    return model, example, anylens.attach(model, example)


def appended(model, example, module):
    """What a plain hook sees, call by call."""
    seen = []
    handle = module.register_forward_hook(lambda m, args, out: seen.append(out.detach().clone()))
    model.generate(**example, **{name: value for name, value in SETTINGS.items() if name != "method"})
    handle.remove()
    return seen


@pytest.mark.parametrize(
    "choice",
    [
        None, 0, 3, -1, -2, [4, 1], [5, -6, 2], slice(None), slice(1, 5, 2), slice(None, None, -1), slice(-3, None),
        slice(2, -1), lambda step: step % 3 == 0, [0, 99],
    ],
)  # fmt: skip
def test_chosen_steps_are_what_a_list_has(made, choice):
    model, example, lens = made
    plain = appended(model, example, model.model.layers[1])
    _, steps = lens.record(example, points="blocks.1.hook_resid_post", steps=choice, **SETTINGS)
    assert len(plain) == 6
    if choice is None:
        wanted = list(range(6))
    elif callable(choice):
        wanted = [step for step in range(6) if choice(step)]
    elif isinstance(choice, slice):
        wanted = list(range(6))[choice]
    else:
        wanted = [step % 6 for step in ([choice] if isinstance(choice, int) else choice) if -6 <= step < 6]
    assert steps.indices("blocks.1.hook_resid_post") == wanted
    assert len(steps) == len(wanted)
    for cache, step in zip(steps, wanted, strict=True):
        assert torch.equal(cache["blocks.1.hook_resid_post"], plain[step])


def test_stack_and_concat(made):
    model, example, lens = made
    name = "blocks.0.hook_mlp_out"
    plain = appended(model, example, model.model.layers[0].mlp)
    _, steps = lens.record(example, points=name, **SETTINGS)
    assert torch.equal(steps.concat(name), torch.cat(plain, dim=1))
    with pytest.raises(RunError, match="concat"):
        steps.stack(name)
    _, decoded = lens.record(example, points=name, steps=slice(1, None), **SETTINGS)
    assert torch.equal(decoded.stack(name), torch.stack(plain[1:]))
    with pytest.raises(UnknownPointError):
        decoded.stack("blocks.0.hook_attn_out")
    with pytest.raises(RunError, match="no axis 'head'"):
        decoded.concat(name, axis="head")


def test_an_encoder_keeps_its_own_count():
    model, example = models.t5()
    lens = anylens.attach(model, example)
    points = ["encoder.blocks.0.hook_resid_post", "decoder.blocks.0.cross_attn.hook_pattern"]
    given = {"input_ids": example["input_ids"]}
    _, steps = lens.record(given, points=points, **SETTINGS)
    assert steps.indices(points[0]) == [0]
    assert steps.indices(points[1]) == list(range(6))
    assert steps.stack(points[1]).shape == (6, 2, 3, 1, 7)


def test_what_was_captured_is_what_happened(made):
    model, example, lens = made
    edit = {"blocks.0.hook_resid_post": anylens.set_to(0.5).on(steps=[2, 4])}
    out, steps = lens.record(example, points="blocks.0.hook_resid_post", hooks=edit, **SETTINGS)
    assert [bool((cache["blocks.0.hook_resid_post"] == 0.5).all()) for cache in steps] == [
        step in (2, 4) for step in range(6)
    ]
    assert not torch.equal(out, lens.record(example, points="blocks.0.hook_resid_post", **SETTINGS)[0])


def test_a_plain_loop_and_a_cell():
    cell = nn.LSTMCell(3, 5).eval()
    xs = torch.randn(4, 2, 3)
    lens = anylens.attach(cell, (xs[0],))

    def loop(inputs):
        state = None
        for x in inputs:
            state = cell(x, state)
        return state

    (hidden, _), steps = lens.record(xs, points=["hook_out", "hook_out[1]"], method=loop, steps=[3, 0])
    assert steps.stack("hook_out").shape == (2, 2, 5)
    assert torch.equal(steps[0]["hook_out"], hidden)


def test_an_early_end_gives_the_steps_there_were(made):
    model, example, lens = made
    free = {**SETTINGS, "eos_token_id": None}
    out, _ = lens.record(example, points="blocks.0.hook_resid_post", **free)
    first = {"input_ids": example["input_ids"][:1]}
    stop = int(lens.record(first, points="blocks.0.hook_resid_post", **free)[0][0, 7 + 2])
    ended, steps = lens.record(
        first, points="blocks.0.hook_resid_post", steps=slice(0, 6), **{**SETTINGS, "eos_token_id": stop}
    )
    assert len(steps) == ended.shape[1] - 7 <= 3


def test_a_choice_that_can_be_gone_through_but_once(made):
    _, example, lens = made
    name = "blocks.1.hook_resid_post"
    _, steps = lens.record(example, points=name, steps=iter([4, 1]), **SETTINGS)
    assert steps.indices(name) == [4, 1]


@pytest.mark.parametrize("wrong", ["first", 1.5, [0.5], slice(0.5, None)])
def test_what_is_no_choice_of_steps(made, wrong):
    _, example, lens = made
    with pytest.raises(RunError, match="steps takes"):
        lens.record(example, points="blocks.1.hook_resid_post", steps=wrong, **SETTINGS)


def test_steps_that_never_came_do_not_stack(made):
    _, example, lens = made
    name = "blocks.1.hook_resid_post"
    _, steps = lens.record(example, points=name, steps=[99], **SETTINGS)
    for join in (steps.stack, steps.concat):
        with pytest.raises(RunError, match="none of the chosen steps"):
            join(name)
