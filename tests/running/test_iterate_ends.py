"""A paused run beside other runs, and at its end: nothing hangs, nothing is left, nothing is without effect unsaid."""

import copy
import gc
import threading

import numpy
import pytest
import torch

import anylens
from anylens.core.errors import RunError, ShapeError
from tests import pipelines

pytestmark = pytest.mark.filterwarnings("ignore")

MID = "unet.mid_block.hook_out"


def settings(steps=3):
    return {"num_inference_steps": steps, "output_type": "np", "generator": torch.Generator().manual_seed(0)}


@pytest.fixture(scope="module")
def made():
    pipe = pipelines.stable_diffusion()
    unet = anylens.attach(pipe.unet, (torch.randn(2, 4, 8, 8), 3, torch.randn(2, 11, 12)))
    return pipe, anylens.attach(pipe), unet


@pytest.fixture(autouse=True)
def _nothing_is_left(made):
    yield
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name == "anylens-iterate"]
    pipe = made[0]
    assert "step" not in vars(pipe.scheduler)
    assert not [m for m in pipe.unet.modules() if m._forward_hooks or m._forward_pre_hooks]


@pytest.mark.parametrize("scheduler", ["DDIMScheduler", "EulerAncestralDiscreteScheduler", "DDPMScheduler"])
def test_noise_that_the_scheduler_draws_is_that_of_a_plain_run(scheduler):
    pipe = pipelines.stable_diffusion(scheduler)
    lens = anylens.attach(pipe)
    plain = pipe(
        "ab", eta=1.0, **settings()
    ).images  # eta and generator go to schedulers whose step names them
    iteration = lens.iterate("ab", eta=1.0, **settings())
    for step in iteration:
        assert step.latents.shape == (1, 4, 8, 8)
    assert numpy.array_equal(iteration.output.images, plain)


def test_edits_of_a_step_that_failed_come_off(made):
    pipe, lens, _ = made
    plain = pipe("ab", **settings()).images
    iteration = lens.iterate("ab", points=MID, **settings())
    step = next(iteration)
    step.edit(MID, lambda value, at: value[:1])
    with pytest.raises(ShapeError):
        step.cache  # noqa: B018
    assert not pipe.unet.mid_block._forward_hooks  # with the iteration still there
    assert numpy.array_equal(pipe("ab", **settings()).images, plain)


def test_two_runs_on_one_scheduler_do_not_wait_for_each_other(made):
    _, lens, _ = made
    seen = []
    for step in lens.iterate("ab", points=MID, **settings()):
        inner = [one.latents.shape for one in lens.iterate("cd", points=MID, **settings(2))]
        seen.append((step.index, len(inner), step.latents.shape))
    assert seen == [(n, 2, (1, 4, 8, 8)) for n in range(3)]
    pairs = zip(lens.iterate("ab", **settings()), lens.iterate("cd", **settings()), strict=True)
    assert [(one.index, other.index) for one, other in pairs] == [(n, n) for n in range(3)]


def test_a_copy_of_the_scheduler_goes_by_its_own_state(made):
    pipe, lens, _ = made
    with lens.iterate("ab", **settings()) as iteration:
        next(iteration)
        other = copy.deepcopy(pipe.scheduler)
        assert other.step.__self__ is other
        next(iteration)


def test_hooks_that_a_paused_run_would_not_see_are_refused(made):
    _, lens, unet = made
    edit = {"mid_block.hook_out": anylens.scale(0.0)}
    for around in (lens, unet):
        step = next(iteration := lens.iterate("ab", points=MID, **settings()))
        with around.hooks(edit), pytest.raises(RunError, match=r"step\.edit"):
            step.cache  # noqa: B018
        assert step.cache[MID].shape[0] == 2
        iteration.close()
    with lens.hooks(edit):
        iteration = lens.iterate("ab", points=MID, **settings())
    with pytest.raises(RunError, match="put on or taken off"):
        next(iteration)


def test_hooks_on_other_models_may_come_and_go_at_a_pause(made):
    _, lens, _ = made
    judge = torch.nn.Linear(8, 1)
    other = anylens.attach(judge, torch.ones(1, 8))
    for step in lens.iterate("ab", **settings()):
        with other.hooks({"hook_out": anylens.scale(0.0)}):
            assert not judge(step.latents).any()


def test_a_step_whose_run_was_ended_says_so(made):
    _, lens, _ = made
    step = next(lens.iterate("ab", points=MID, **settings()))  # nobody holds the iteration
    for look in (lambda: step.cache, lambda: step.latents):
        with pytest.raises(RunError, match="keep that"):
            look()
    steps = list(lens.iterate("ab", points=MID, **settings()))
    assert all(MID in step.cache for step in steps)


def test_what_is_no_attribute_of_a_pause_is_not_set(made):
    _, lens, _ = made
    with lens.iterate("ab", **settings()) as iteration, pytest.raises(AttributeError):
        next(iteration).latent = torch.zeros(1)
