"""Pipelines: every step exactly, equal to what a plain hook appends to a list."""

import numpy
import pytest
import torch
from torch import nn

import anylens
from anylens.conformance import Sampling, check
from anylens.core.errors import AttachError, RunError, UnknownPointError
from anylens.pipelines import noise_level, scheduled_time
from tests import pipelines

pytestmark = pytest.mark.filterwarnings("ignore")

MID = "unet.mid_block.hook_out"
STEPS = 5
CASES = {
    "stable diffusion": (pipelines.stable_diffusion, ("ab",)),
    "ddpm": (pipelines.unconditional, ()),
    "ddim": (lambda: pipelines.unconditional("DDIMPipeline"), ()),
    "dit": (pipelines.class_conditional, ([3, 5],)),
}


def settings(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {"num_inference_steps": STEPS, "output_type": "np", "generator": generator}


@pytest.fixture(scope="module")
def made():
    pipe = pipelines.stable_diffusion()
    return pipe, anylens.attach(pipe)


def appended(pipe, module, *args, **kwargs):
    """What a plain hook sees, call by call, and what the pipeline returns."""
    seen = []

    def hook(module, args, out):
        seen.append((out if isinstance(out, torch.Tensor) else out[0]).clone())

    handle = module.register_forward_hook(hook)
    images = pipe(*args, **settings(), **kwargs).images
    handle.remove()
    return seen, images


@pytest.mark.parametrize("name", CASES)
def test_every_step_is_what_a_plain_hook_sees(name):
    make, args = CASES[name]
    pipe = make()
    lens = anylens.attach(pipe)
    denoiser = lens.parts[lens.step_part].model
    plain, images = appended(pipe, denoiser, *args)
    out, steps = lens.record(*args, points="hook_out", **settings())
    assert numpy.array_equal(out.images, images)
    assert len(plain) == len(steps) == STEPS
    assert torch.equal(steps.stack(f"{lens.step_part}.hook_out"), torch.stack(plain))
    told = steps.indices(f"{lens.step_part}.hook_out")
    assert [step.index for step in told] == list(range(STEPS))
    assert {step.kind for step in told} == {"denoise"}
    assert [step.timestep for step in told] == [float(t) for t in pipe.scheduler.timesteps]


CHOICES = [
    0, -1, [4, 0, 2], [1, -2], slice(None, None, 2), slice(-3, None), slice(3, 0, -1), slice(1, -1),
    lambda s: s.index > 2,
]  # fmt: skip


@pytest.mark.parametrize("choice", CHOICES)
def test_chosen_steps(made, choice):
    pipe, lens = made
    plain, _ = appended(pipe, pipe.unet.mid_block, "ab")
    _, steps = lens.record("ab", points="mid_block.hook_out", steps=choice, **settings())
    if callable(choice):
        wanted = [3, 4]
    elif isinstance(choice, slice):
        wanted = list(range(STEPS))[choice]
    else:
        wanted = [n % STEPS for n in ([choice] if isinstance(choice, int) else choice)]
    assert steps.indices(MID) == wanted
    assert torch.equal(steps.stack(MID), torch.stack([plain[n] for n in wanted]))
    assert steps.axes(MID, stacked=True)[0] == "step"


@pytest.mark.parametrize(
    "scheduler",
    [
        "EulerDiscreteScheduler",
        "PNDMScheduler",
        "HeunDiscreteScheduler",
        "DPMSolverMultistepScheduler",
        "LCMScheduler",
    ],
)
def test_any_scheduler(scheduler):
    pipe = pipelines.stable_diffusion(scheduler)
    lens = anylens.attach(pipe)
    plain, images = appended(pipe, pipe.unet, "ab")
    out, steps = lens.record("ab", points="unet.hook_out", **settings())
    assert numpy.array_equal(out.images, images)
    assert torch.equal(steps.stack("unet.hook_out"), torch.stack(plain))
    seen = [(step.timestep, step.latents) for step in lens.iterate("ab", **settings())]
    assert [time for time, _ in seen] == [step.timestep for step in steps.indices("unet.hook_out")]
    if scheduler == "EulerDiscreteScheduler":
        told = [step.sigma for step in steps.indices("unet.hook_out")]
        assert told == [float(sigma) for sigma in pipe.scheduler.sigmas[:-1]]


def test_times_and_noise_levels_choose_steps(made):
    pipe, lens = made
    _, steps = lens.record("ab", points=MID, **settings())
    told = steps.indices(MID)
    by_time = lens.record("ab", points=MID, steps=anylens.timesteps(700, 300), **settings())[1]
    assert by_time.indices(MID) == [step for step in told if 300 <= step.timestep <= 700]
    assert 0 < len(by_time) < STEPS
    by_noise = lens.record("ab", points=MID, steps=anylens.sigmas(0.5, 5), **settings())[1]
    assert by_noise.indices(MID) == [step for step in told if 0.5 <= step.sigma <= 5]
    ids = torch.tensor([[52, 1, 53]])
    encoder = anylens.attach(pipe.text_encoder, ids)
    with pytest.raises(RunError, match="timestep"):
        encoder.record(ids, points="blocks.0.hook_resid_post", steps=anylens.timesteps(9, 1))


def test_parts_that_run_beside_the_steps_keep_their_own_count(made):
    _, lens = made
    encoder, decoder = "text_encoder.blocks.1.hook_resid_post", "vae.decoder.hook_out"
    _, steps = lens.record("ab", points=[encoder, MID, decoder], **settings())
    assert [len(steps.indices(name)) for name in (encoder, MID, decoder)] == [2, STEPS, 1]
    assert all(step.own for step in steps.indices(encoder))
    with pytest.raises(RunError, match="record"):
        lens.run_with_cache("ab", points=MID, **settings())
    _, cache = lens.run_with_cache("ab", points=decoder, **settings())
    assert cache[decoder].shape == (1, 3, 16, 16)


def test_rows_of_guidance_are_told_apart(made):
    pipe, lens = made
    _, steps = lens.record("ab", points=MID, steps=0, negative_prompt="z", **settings())
    assert steps.indices(MID)[0].conditional == (False, True)
    seen = []
    handle = pipe.unet.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["encoder_hidden_states"]), with_kwargs=True
    )
    pipe("ab", negative_prompt="z", **settings())
    handle.remove()
    prompt = pipe.encode_prompt("ab", "cpu", 1, False)[0]
    assert torch.equal(seen[0][1:], prompt)
    assert not torch.equal(seen[0][:1], prompt)
    _, steps = lens.record("ab", points=MID, steps=0, guidance_scale=1.0, **settings())
    assert steps.indices(MID)[0].conditional is None
    dit = anylens.attach(pipelines.class_conditional())
    _, steps = dit.record([3, 5], points="transformer.hook_out", steps=0, **settings())
    assert steps.indices("transformer.hook_out")[0].conditional == (True, True, False, False)


def test_an_edit_of_some_steps_is_what_a_plain_hook_makes_of_them(made):
    pipe, lens = made
    calls = []

    def hook(module, args, out):
        calls.append(0)
        return out * 0 if len(calls) - 1 in (1, 3) else None

    handle = pipe.unet.mid_block.register_forward_hook(hook)
    by_hand = pipe("ab", **settings()).images
    handle.remove()
    edit = {"mid_block.hook_out": anylens.scale(0).on(steps=[1, 3])}
    with lens.hooks(edit):
        ours = pipe("ab", **settings()).images
    assert numpy.array_equal(ours, by_hand)
    out, steps = lens.record("ab", points=MID, hooks=edit, **settings())
    assert numpy.array_equal(out.images, by_hand)
    assert [bool((value == 0).all()) for value in steps.stack(MID)] == [False, True, False, True, False]
    seen = []
    with lens.hooks({MID: lambda value, at: seen.append((at.step, at.step.timestep))}):
        pipe("ab", **settings())
    assert [time for _, time in seen] == [float(t) for t in pipe.scheduler.timesteps]


def test_cross_attention_by_token_and_step(made):
    pipe, lens = made
    patterns = [
        point for point in lens.points if "cross_attn.hook_pattern" in point and "unet.down.0." in point
    ]
    cross = [point for point in patterns if lens.points[point].shape[-1] == 11]
    _, steps = lens.record("ab", points=cross[0], **settings())
    stacked = steps.stack(cross[0])
    assert lens.points[cross[0]].axes == ("batch", "head", "query_pos", "key_pos")
    assert stacked.shape[0] == STEPS
    assert stacked.shape[-1] == 11
    torch.testing.assert_close(stacked.sum(-1), torch.ones_like(stacked.sum(-1)))


def test_a_pipeline_stays_as_it_was():
    pipe = pipelines.stable_diffusion("EulerDiscreteScheduler")
    before, scheduler = dict(vars(pipe)), {k: str(v) for k, v in vars(pipe.scheduler).items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    lens = anylens.attach(pipe)
    assert vars(pipe) == before
    assert {k: str(v) for k, v in vars(pipe.scheduler).items()} == scheduler
    assert torch.equal(torch.get_rng_state(), state)
    list(lens.iterate("ab", **settings()))
    assert "step" not in vars(pipe.scheduler)
    assert not any(
        module._forward_hooks or module._forward_pre_hooks
        for one in pipe.components.values()
        if isinstance(one, nn.Module)
        for module in one.modules()
    )


def test_names_of_parts(made):
    _, lens = made
    assert set(lens.parts) == {"text_encoder", "unet", "vae.post_quant_conv", "vae.decoder"}
    assert lens.step_part == "unet"
    assert lens.points["mid_block.hook_out"].name == MID
    assert MID in [point.name for point in lens.points.find("mid_block.hook_*")]
    with pytest.raises(UnknownPointError, match=r"unet\.mid_block\.hook_out"):
        lens.points["unet.midblock.hook_out"]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "ddpm" else pytest.mark.wide) for name in CASES]
)
def test_every_check_holds_on_every_part(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ANYLENS_CACHE", str(tmp_path))
    lens = anylens.attach(CASES[name][0]())
    few = Sampling(native=3, ops=3, alone=6, blocks=1)
    report = check(lens, sampling=few).require()
    assert report["values"].count > 100
    assert len(report.scope) == len(lens.parts)


def test_checks_of_a_pipeline_can_be_narrowed(made):
    _, lens = made
    report = check(lens, points="mid_block.hook_out", checks=["as-announced"]).require()
    assert report["as-announced"].count == 4


def test_a_pipeline_from_a_folder(made, tmp_path):
    pipe, lens = made
    pipe.save_pretrained(tmp_path)
    again = anylens.load(tmp_path)
    again.model.set_progress_bar_config(disable=True)
    assert list(again.points) == list(lens.points)
    one, other = (each("ab", **settings()).images for each in (pipe, again.model))
    assert numpy.array_equal(one, other)


def test_a_pipeline_of_ones_own():
    class Loop:
        def __init__(self):
            self.body = nn.Linear(3, 3).eval()

        def __call__(self, x, times):
            for _ in range(times):
                x = self.body(x)
            return x

    loop = Loop()
    lens = anylens.attach(loop, (torch.ones(2, 3), 2))
    out, steps = lens.record(torch.ones(2, 3), 4, points="body.hook_out")
    assert torch.equal(steps[3]["body.hook_out"], out)
    assert len(steps) == 4


def test_what_cannot_be_watched_says_so():
    class Idle:
        def __init__(self):
            self.body = nn.Linear(3, 3)

        def __call__(self):
            return None

    with pytest.raises(AttachError, match="never entered"):
        anylens.attach(Idle(), ())
    with pytest.raises(AttachError, match="given int"):
        anylens.attach(3)
    import diffusers

    pipe = pipelines.stable_diffusion()
    upscale = diffusers.StableDiffusionUpscalePipeline(
        vae=pipe.vae, text_encoder=pipe.text_encoder, tokenizer=pipe.tokenizer, unet=pipe.unet,
        low_res_scheduler=diffusers.DDPMScheduler(), scheduler=pipe.scheduler,
    )  # fmt: skip
    with pytest.raises(ValueError, match="image") as caught:
        anylens.attach(upscale)
    assert "Pass example=" in "".join(caught.value.__notes__)


def test_a_model_that_was_exchanged_is_noticed():
    pipe = pipelines.unconditional()
    lens = anylens.attach(pipe)
    unet, pipe.unet = pipe.unet, pipelines.unconditional().unet
    with pytest.raises(RunError, match="another module"), lens.hooks({"hook_out": anylens.scale(0)}):
        pass
    with pytest.raises(RunError, match="another module"):
        lens.iterate(**settings())
    pipe.unet = unet
    assert len(lens.record(points="hook_out", **settings())[1]) == STEPS


def test_a_model_is_watched_as_it_is_called(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYLENS_CACHE", str(tmp_path))
    pipe = pipelines.unconditional()
    given = (torch.randn(2, 3, 8, 8), 3)
    for lens in (anylens.attach(pipe), anylens.attach(pipe.unet, given), anylens.attach(pipe)):
        example = given if lens.model is pipe.unet else ()  # the pipeline asks the model for a tuple
        options = {} if example else settings()
        assert len(lens.record(*example, points="hook_out", **options)[1]) == (1 if example else STEPS)
    _, cache = anylens.attach(pipe.unet).run_with_cache(*given, points="hook_out")
    assert cache["hook_out"].shape == given[0].shape


def test_a_picture_that_keeps_most_of_itself_leaves_few_steps_to_watch():
    import diffusers

    pipe = diffusers.StableDiffusionImg2ImgPipeline(**pipelines.stable_diffusion().components)
    pipe.set_progress_bar_config(disable=True)
    given = {"prompt": "ab", "image": torch.rand(1, 3, 16, 16), "strength": 0.2, "num_inference_steps": 10}
    lens = anylens.attach(pipe, given)
    _, steps = lens.record(given, points=MID)
    assert [step.index for step in steps.indices(MID)] == [0, 1]


def test_the_denoiser_is_told_from_a_model_that_prepares_what_it_takes():
    import diffusers

    pipe = pipelines.stable_diffusion()
    beside = diffusers.ControlNetModel.from_unet(
        pipe.unet, conditioning_embedding_out_channels=(8, 16), load_weights_from_unet=False
    ).eval()
    parts = {name: part for name, part in pipe.components.items() if name != "image_encoder"}
    both = diffusers.StableDiffusionControlNetPipeline(
        controlnet=beside, requires_safety_checker=False, **parts
    )
    both.set_progress_bar_config(disable=True)
    given = {"prompt": "ab", "image": torch.rand(1, 3, 16, 16)}
    lens = anylens.attach(both, given)
    assert lens.step_part == "unet"
    names = [MID, "controlnet.mid_block.hook_out"]
    _, steps = lens.record(given, points=names, **settings())
    assert [steps.indices(name) for name in names] == [list(range(STEPS))] * 2


@pytest.mark.parametrize("given", [lambda t: t / 1000, lambda t: t.bfloat16() / 1000, lambda t: t.bfloat16()])
def test_a_time_that_a_model_is_given_in_other_units_is_the_schedulers(given):
    import diffusers

    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(28)
    for place, (time, sigma) in enumerate(zip(scheduler.timesteps, scheduler.sigmas, strict=False)):
        scheduler._step_index = place or None
        found = scheduled_time(scheduler, float(given(time)))
        assert found == float(time)
        assert noise_level(scheduler, found) == float(sigma)
    assert scheduled_time(scheduler, 1500.0) == 1500.0
    assert scheduled_time(None, 3.0) == 3.0
