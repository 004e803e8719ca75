"""An edit at steps that never come is an error; one of which only some steps come is not."""

import pytest
import torch
from torch import nn

import anylens
from anylens.core.errors import RunError
from tests import models, pipelines

FIRST, LAST = "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"
GENERATE = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}


def gone(*steps):
    return anylens.scale(0).on(steps=list(steps))


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(0)
    model, example = models.llama()
    return model, example, anylens.attach(model, example)


def called(model, times):
    return lambda x: [model(x) for _ in range(times)]


@pytest.fixture
def small():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    return model, torch.randn(2, 3), anylens.attach(model, torch.randn(2, 3))


def test_a_generation_says_which_steps_there_were(made):
    _, example, lens = made
    with pytest.raises(
        RunError, match=r"steps=\(4, 50\).* had no effect.*4 steps, <prefill 0> to <decode 3>"
    ):
        lens.run_with_hooks(example, hooks={FIRST: gone(4, 50)}, method="generate", **GENERATE)
    with pytest.raises(RunError, match="no effect"):
        lens.record(example, points=LAST, hooks={FIRST: gone(4)}, method="generate", **GENERATE)


def test_an_end_that_comes_early_leaves_steps_out(made):
    model, example, lens = made
    given = {"input_ids": example["input_ids"][:1]}
    count = given["input_ids"].shape[1]
    hooks = {FIRST: anylens.scale(0).on(steps=slice(1, 50))}
    out = lens.run_with_hooks(given, hooks=hooks, method="generate", **GENERATE)
    assert out.shape[1] == count + 4  # three of the 49 steps came
    stop = {**GENERATE, "eos_token_id": int(model.generate(**given, **GENERATE)[0, count])}
    with pytest.raises(RunError, match="There were 1 step, <prefill 0>"):
        lens.run_with_hooks(given, hooks=hooks, method="generate", **stop)


def test_a_pipeline_says_which_times_there_were():
    pipe = pipelines.unconditional()
    lens = anylens.attach(pipe)
    middle, given = "mid_block.hook_out", {"num_inference_steps": 3, "output_type": "np"}
    with (
        pytest.raises(RunError, match=r"unet.mid_block.hook_out.*3 steps, <denoise 0, timestep 666"),
        lens.hooks({middle: gone(3)}),
    ):
        pipe(**given)
    early = anylens.scale(0).on(steps=anylens.timesteps(5000, 2000))
    with pytest.raises(RunError, match="no effect"):
        lens.run_with_hooks(hooks={middle: early}, **given)
    with lens.hooks({middle: anylens.scale(0).on(steps=anylens.timesteps(5000, 600))}):
        pipe(**given)


def test_a_plain_loop_counts_its_calls(small):
    model, x, lens = small
    for method in (None, called(model, 3)):
        with pytest.raises(RunError, match=r"There were (1 step|3 steps)"):
            lens.run_with_hooks(x, hooks={"0.hook_out": gone(3)}, method=method)
    with lens.hooks({"0.hook_out": gone(1, 7)}):
        outs = called(model, 3)(x)
    assert torch.equal(outs[1], model[1](torch.zeros(2, 3)))
    assert torch.equal(outs[0], outs[2])
    assert not torch.equal(outs[0], outs[1])


def test_hooks_around_runs_wait_for_their_own_end(small):
    model, x, lens = small
    with lens.hooks({"0.hook_out": gone(1)}):
        plain = lens.run_with_hooks(x, hooks={})  # the step is still to come
        edited = lens.run_with_hooks(x, hooks={})
    assert torch.equal(plain, model(x))
    assert torch.equal(edited, model[1](torch.zeros(2, 3)))
    with pytest.raises(RunError, match="2 steps"), lens.hooks({"0.hook_out": gone(2)}):
        called(model, 2)(x)
    with lens.hooks({"0.hook_out": gone(2)}):
        pass  # nothing was run


def test_an_edit_of_several_points_has_to_act_at_one_of_them():
    model, example = models.t5()
    lens = anylens.attach(model, example)
    given = {"input_ids": example["input_ids"]}
    later, settings = anylens.scale(0.5).on(steps=slice(1, None)), {"method": "generate", **GENERATE}
    lens.run_with_hooks(given, hooks={"*.blocks.0.hook_resid_post": later}, **settings)
    with pytest.raises(RunError, match="outside the steps"):
        lens.run_with_hooks(given, hooks={"encoder.blocks.0.hook_resid_post": later}, **settings)


def test_inside_a_splice(small):
    class Halves:
        d_in, d_sae = 3, 3

        def encode(self, rows):
            return rows / 2

        def decode(self, acts):
            return acts * 2

    _, x, lens = small
    spliced = lens.splice({"0.hook_out": Halves()})
    name = "0.hook_out.sae.hook_acts"
    with pytest.raises(RunError, match="hook_acts had no effect"):
        spliced.run_with_hooks(x, hooks={name: gone(1)})
    spliced.run_with_hooks(x, hooks={name: gone(0)})


def test_at_a_pause_only_the_present_step_counts(small):
    model, x, lens = small

    def edited(number):
        for step in lens.iterate(x, method=called(model, 3)):
            if step.index == 1:
                step.edit("0.hook_out", gone(number))

    edited(1)
    with pytest.raises(RunError, match="no effect"):
        edited(2)


def test_a_run_that_was_left_is_not_asked(small):
    model, x, lens = small
    for step in lens.iterate(x, method=called(model, 3), hooks={"0.hook_out": gone(2)}):
        if step.index == 1:
            break
    with pytest.raises(RunError, match="3 steps"):
        list(lens.iterate(x, method=called(model, 3), hooks={"0.hook_out": gone(3)}))


def test_a_function_may_leave_everything_as_it_is(small):
    model, x, lens = small
    assert torch.equal(lens.run_with_hooks(x, hooks={"0.hook_out": lambda value, at: None}), model(x))
