"""A paused run: what is seen is what happened, what is changed takes effect, and however it ends it ends cleanly."""

import _thread
import gc
import signal
import threading
import time

import numpy
import pytest
import torch
from torch import nn

import anylens
from anylens.core.errors import DtypeError, RunError, ShapeError, UnknownPointError
from tests import models, pipelines

pytestmark = pytest.mark.filterwarnings("ignore")

MID = "unet.mid_block.hook_out"
STEPS = 4
GENERATE = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}


def settings():
    return {"num_inference_steps": STEPS, "output_type": "np", "generator": torch.Generator().manual_seed(0)}


@pytest.fixture(scope="module")
def made():
    pipe = pipelines.stable_diffusion()
    return pipe, anylens.attach(pipe)


@pytest.fixture(scope="module")
def decoder():
    torch.manual_seed(0)
    model, example = models.llama()
    return model, example, anylens.attach(model, example)


@pytest.fixture(autouse=True)
def _nothing_is_left(made):
    yield
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name == "anylens-iterate"]
    pipe, _ = made
    assert "step" not in vars(pipe.scheduler)
    assert not [m for m in pipe.unet.modules() if m._forward_hooks or m._forward_pre_hooks]


def test_each_step_shows_what_record_has(made):
    pipe, lens = made
    plain = pipe("ab", **settings()).images
    _, steps = lens.record("ab", points=MID, **settings())
    iteration = lens.iterate("ab", points=MID, **settings())
    seen = []
    for number, step in enumerate(iteration):
        assert step.index == number
        assert step.timestep == float(pipe.scheduler.timesteps[number])
        assert step.conditional == (False, True)
        seen.append(step.cache[MID])
    assert torch.equal(torch.stack(seen), steps.stack(MID))
    assert numpy.array_equal(iteration.output.images, plain)


def test_a_pipeline_may_be_passed_as_what_is_called(made):
    pipe, lens = made
    assert [step.index for step in lens.iterate(pipe, "ab", **settings())] == [0, 1, 2, 3]
    unet = anylens.attach(pipe.unet, (torch.randn(2, 4, 8, 8), 3, torch.randn(2, 11, 12)))
    times = [step.timestep for step in unet.iterate(pipe, "ab", points="mid_block.hook_out", **settings())]
    assert times == [float(t) for t in pipe.scheduler.timesteps]


def test_an_edit_before_the_step_runs_acts_in_it(made):
    pipe, lens = made
    edit = anylens.scale(0.0)
    with lens.hooks({MID: edit.on(steps=[1, 2])}):
        wanted = pipe("ab", **settings()).images
    iteration = lens.iterate("ab", points=MID, **settings())
    for step in iteration:
        if step.index in (1, 2):
            step.edit("mid_block.hook_out", edit)
        assert bool((step.cache[MID] == 0).all()) == (step.index in (1, 2))
    assert numpy.array_equal(iteration.output.images, wanted)


def test_an_edit_after_it_was_read_acts_in_the_next_step(made):
    _, lens = made
    zeros = []
    for step in lens.iterate("ab", points=MID, **settings()):
        zeros.append(bool((step.cache[MID] == 0).all()))
        if step.index == 1:
            step.edit({MID: anylens.scale(0.0)})
    assert zeros == [False, False, True, False]


@pytest.mark.parametrize(
    "name", ["unet.hook_in", "unet.hook_out", "unet.conv_in.hook_in", "unet.conv_in.hook_out"]
)
def test_edits_at_the_ends_of_the_step_module_act_too(made, name):
    pipe, lens = made
    with lens.hooks({name: anylens.scale(0.5).on(steps=1)}):
        wanted = pipe("ab", **settings()).images
    iteration = lens.iterate("ab", points=MID, **settings())
    for step in iteration:
        if step.index == 1:
            step.edit(name, anylens.scale(0.5))
    assert numpy.array_equal(iteration.output.images, wanted)
    assert not numpy.array_equal(wanted, pipe("ab", **settings()).images)


def test_latents_that_are_set_go_on(made):
    pipe, lens = made

    def halve(pipe, index, timestep, given):
        return {"latents": given["latents"] * 0.5} if index == 1 else {}

    wanted = pipe("ab", callback_on_step_end=halve, **settings()).images
    iteration = lens.iterate("ab", **settings())
    for step in iteration:
        if step.index == 1:
            step.latents = step.latents * 0.5
    assert numpy.array_equal(iteration.output.images, wanted)
    assert not numpy.array_equal(wanted, pipe("ab", **settings()).images)


def test_latents_that_do_not_fit_are_refused(made):
    _, lens = made
    with lens.iterate("ab", **settings()) as iteration:
        step = next(iteration)
        with pytest.raises(ShapeError, match="Latents have shape"):
            step.latents = torch.zeros(1)
        with pytest.raises(DtypeError, match="Latents are"):
            step.latents = step.latents.half()
        with pytest.raises(DtypeError, match="str was given"):
            step.latents = "none"
        next(iteration)
        with pytest.raises(RunError, match="gone on"):
            step.latents = torch.zeros(1, 4, 8, 8)
        with pytest.raises(RunError, match="gone on"):
            step.edit(MID, anylens.scale(0))


def test_the_state_of_the_scheduler_can_be_changed(made):
    pipe, lens = made
    times = []
    for step in lens.iterate("ab", **settings()):
        times.append(step.timestep)
        if step.index == 0:
            pipe.scheduler.timesteps[2:] = 7  # the tensor that the pipeline goes through
    assert times[2:] == [7.0, 7.0]


def test_stop_and_leaving_the_loop_end_the_run(made):
    pipe, lens = made
    entered = []
    handle = pipe.unet.register_forward_pre_hook(lambda *_: entered.append(0))
    try:
        for step in lens.iterate("ab", **settings()):
            if step.index == 1:
                break
        del step
        gc.collect()
        assert len(entered) == 1  # step 1 was about to run
        iteration = lens.iterate("ab", **settings())
        for step in iteration:
            step.latents  # noqa: B018
            step.stop()
        assert iteration.output is None
        assert len(entered) == 2
        lens.iterate("ab", **settings())  # not even begun
        assert len(entered) == 2
    finally:
        handle.remove()


def test_an_exception_in_the_loop_ends_the_run(made):
    pipe, lens = made

    def look():
        for step in lens.iterate("ab", points=MID, **settings()):
            if step.index == 1:
                raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        look()
    assert pipe("ab", **settings()).images.shape == (1, 16, 16, 3)


def test_an_exception_in_the_run_reaches_the_loop(made):
    pipe, lens = made

    def broken(module, args, out):
        raise ValueError("broken")

    handle = pipe.unet.mid_block.register_forward_hook(broken)
    try:
        with pytest.raises(ValueError, match="broken"):
            list(lens.iterate("ab", **settings()))
        step = next(iteration := lens.iterate("ab", points=MID, **settings()))
        with pytest.raises(ValueError, match="broken"):
            step.cache  # noqa: B018
        assert list(iteration) == []
    finally:
        handle.remove()


def test_ctrl_c_while_the_run_computes_ends_it():
    class Slow(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(2, 2)

        def forward(self, x):
            if self.lazy:
                time.sleep(0.3)
            return self.body(x)

    model = Slow()
    model.lazy = False
    lens = anylens.attach(model, torch.ones(1, 2))
    model.lazy = True
    calls = []

    def loop():
        for _ in range(50):
            calls.append(0)
            model(torch.ones(1, 2))

    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a job in the background ignores Ctrl-C
    try:
        threading.Timer(0.45, _thread.interrupt_main).start()
        with pytest.raises(KeyboardInterrupt):
            for _ in lens.iterate(loop):
                pass
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(calls) < 6
    assert not model._forward_hooks


def test_gradients_and_precision_are_those_of_the_caller(made):
    linear = nn.Linear(3, 3)
    lens = anylens.attach(linear, torch.ones(1, 3))
    modes = []

    def loop():
        for _ in range(2):
            out = linear(torch.ones(1, 3))
            modes.append((torch.is_grad_enabled(), out.requires_grad, out.dtype))

    for grad, autocast in ((True, False), (False, False), (True, True)):
        modes.clear()
        with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            for _ in lens.iterate(loop):
                assert torch.is_grad_enabled() == grad
                assert torch.is_autocast_enabled("cpu") == autocast
        assert modes == [(grad, grad, torch.bfloat16 if autocast else torch.float32)] * 2
    _, pipe = made
    iteration = pipe.iterate("ab", **settings())
    next(iteration)
    assert torch.is_grad_enabled()  # the pipeline switched it off for itself
    iteration.close()


def test_a_generation_token_by_token(decoder):
    model, example, lens = decoder
    name = "blocks.1.hook_resid_post"
    plain = model.generate(**example, **GENERATE)
    iteration = lens.iterate(example, method="generate", points=name, **GENERATE)
    kinds, tokens = [], []
    for step in iteration:
        kinds.append(step.kind)
        tokens.append(step.tokens)
        assert step.cache[name].shape[1] == (7 if step.index == 0 else 1)
    assert torch.equal(iteration.output, plain)
    assert kinds == ["prefill"] + ["decode"] * 4
    assert torch.equal(torch.cat(tokens, dim=1), plain[:, :-1])
    with (
        lens.iterate(example, method="generate", **GENERATE) as again,
        pytest.raises(RunError, match="no latents"),
    ):
        next(again).latents  # noqa: B018


def test_an_edit_changes_the_tokens_that_follow(decoder):
    model, example, lens = decoder
    name = "blocks.1.hook_resid_post"
    hooks = {name: anylens.set_to(torch.randn(24, generator=torch.Generator().manual_seed(1))).on(steps=2)}
    wanted = lens.run_with_hooks(example, hooks=hooks, method="generate", **GENERATE)
    iteration = lens.iterate(example, method="generate", points=name, **GENERATE)
    for step in iteration:
        if step.index == 2:
            step.edit(name, hooks[name])
    assert torch.equal(iteration.output, wanted)


def test_what_is_captured_beside_the_steps(made):
    _, lens = made
    encoder = "text_encoder.blocks.0.hook_resid_post"
    iteration = lens.iterate("ab", points=[encoder, MID], **settings())
    for step in iteration:
        assert set(step.cache) == {MID}
    assert iteration.outside.stack(encoder).shape == (2, 1, 11, 12)


def test_names_are_looked_at_before_the_run_goes_on(made):
    _, lens = made
    with pytest.raises(UnknownPointError):
        lens.iterate("ab", points="mid_block.hook_uot", **settings())
    with lens.iterate("ab", points=MID, **settings()) as iteration:
        step = next(iteration)
        with pytest.raises(UnknownPointError):
            step.edit("mid_block.hook_uot", anylens.scale(0))
        assert step.cache[MID].shape[0] == 2


def test_hooks_around_hold_inside(made):
    pipe, lens = made
    with lens.hooks({MID: anylens.scale(0.0)}):
        for step in lens.iterate("ab", points=MID, **settings()):
            assert bool((step.cache[MID] == 0).all())
    assert pipe is not None


def test_an_edit_that_is_not_reached_is_an_error(made):
    _, lens = made
    step = next(iteration := lens.iterate("ab", points=MID, **settings()))
    step.edit("vae.decoder.hook_out", anylens.scale(0.0))
    with pytest.raises(RunError, match="not reached in this step"):
        next(iteration)
