"""What a diffusion model has in mind: against the schedulers' own numbers, and against formulas for known noise."""

import diffusers
import pytest
import torch

import anylens
from anylens.analysis.denoising import clean_from, contributions, decoded, predicted_clean
from anylens.core.errors import RunError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
RUN = {"num_inference_steps": 3, "output_type": "latent"}


@pytest.fixture(scope="module")
def lens():
    found = anylens.load("zoo:shapes-diffusion")
    found.model.set_progress_bar_config(disable=True)
    return found


def seeded():
    return {"generator": torch.Generator().manual_seed(1), **RUN}


def test_the_last_prediction_is_the_picture(lens):
    """A deterministic scheduler that ends without noise returns what was predicted last."""
    found = predicted_clean(lens, "a red circle", **seeded())
    torch.testing.assert_close(found.clean[-1], found.output.images, atol=1e-4, rtol=1e-4)
    assert found.clean.shape == found.noisy.shape == (3, 1, 4, 8, 8)
    assert [step.timestep for step in found.steps] == [999, 666, 332]
    assert bool(((found.clean - found.noisy).flatten(1).norm(dim=1) > 1).all())


def test_the_run_is_the_pipelines_own(lens):
    found = predicted_clean(lens, "a blue star", **seeded())
    own = lens.model("a blue star", **seeded()).images
    assert torch.equal(found.output.images, own)
    assert "step" not in vars(lens.model.scheduler)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("name", ["DDIMScheduler", "DDPMScheduler", "EulerDiscreteScheduler"])
def test_predictions_are_those_that_schedulers_report(name, kind):
    settings = {"prediction_type": kind, "clip_sample": False} if "DD" in name else {"prediction_type": kind}
    scheduler = getattr(diffusers, name)(**settings)
    scheduler.set_timesteps(5)
    x = torch.randn(2, 3, 4, 4) * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps[:4]:
        taken = scheduler.scale_model_input(x, timestep)
        predicted = torch.tanh(taken)
        mine = clean_from(scheduler, predicted, timestep, x)
        result = scheduler.step(predicted, timestep, x)
        torch.testing.assert_close(mine, result.pred_original_sample, atol=1e-4, rtol=1e-3)
        x = result.prev_sample


@pytest.mark.parametrize(
    "name", ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "FlowMatchEulerDiscreteScheduler"]
)
def test_a_picture_with_known_noise_is_seen_through(name):
    scheduler = getattr(diffusers, name)()
    scheduler.set_timesteps(6)
    picture, noise = torch.randn(2, 1, 3, 4, 4)
    timestep = scheduler.timesteps[2:3]
    if "Flow" in name:
        noisy, predicted = scheduler.scale_noise(picture, timestep, noise), noise - picture
    else:
        noisy, predicted = scheduler.add_noise(picture, noise, timestep), noise
    found = clean_from(scheduler, predicted, timestep[0], noisy)
    torch.testing.assert_close(found, picture, atol=1e-4, rtol=1e-3)


def test_pictures_are_those_of_the_pipeline(lens):
    found = predicted_clean(lens, "a red circle", **seeded())
    torch.manual_seed(0)
    own = lens.model("a red circle", **{**seeded(), "output_type": "pt"}).images
    torch.testing.assert_close(decoded(lens, found.clean)[-1], own, atol=1e-3, rtol=1e-3)


def test_a_contribution_is_what_the_prediction_loses_in_that_step(lens):
    point = "unet.mid.attentions.0.blocks.0.hook_mlp_out"
    found = contributions(lens, "a red circle", points=point, **seeded())[point]
    assert found.shape == (3, 1, 4, 8, 8)
    whole = predicted_clean(lens, "a red circle", **seeded())
    for step in range(3):
        with lens.hooks({point: anylens.scale(0).on(steps=step)}):
            without = predicted_clean(lens, "a red circle", **seeded())
        torch.testing.assert_close(found[step], (whole.clean - without.clean)[step], atol=1e-4, rtol=1e-3)
        assert found[step].abs().max() > 1e-4


def test_a_transformer_that_denoises():
    lens = anylens.load("zoo:shapes-dit")
    lens.model.set_progress_bar_config(disable=True)
    found = predicted_clean(lens, [3], num_inference_steps=2, output_type="np")
    pictures = decoded(lens, found.clean)
    assert pictures.shape == (2, 2, 3, 32, 32)  # this pipeline steps both halves of guidance
    own = torch.from_numpy(found.output.images).permute(0, 3, 1, 2)
    torch.testing.assert_close(pictures[-1, :1], own, atol=2e-2, rtol=0)


def test_what_predicts_no_picture_is_refused():
    model = anylens.load("zoo:grammar-gpt2")
    with pytest.raises(RunError, match="no pipeline with a scheduler"):
        predicted_clean(model, torch.tensor([[1]]))
    scheduler = diffusers.EDMEulerScheduler()
    scheduler.set_timesteps(3)
    with pytest.raises(RunError, match="is not known"):
        clean_from(scheduler, torch.zeros(1), scheduler.timesteps[0], torch.zeros(1))
