"""What a diffusion model takes the clean picture to be, step by step, and what each part of it adds to that.

At every step a denoiser predicts noise, or a mixture of noise and picture; with the noise level both say what picture
it has in mind (Ho et al. 2020, "Denoising Diffusion Probabilistic Models", https://arxiv.org/abs/2006.11239, equation
15; for v-prediction Salimans and Ho 2022, https://arxiv.org/abs/2202.00512; for flow matching Lipman et al. 2022,
https://arxiv.org/abs/2210.02747). What is looked at is what the pipeline gives its scheduler, guidance included.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from anylens.core.errors import RunError
from anylens.lens import Lens
from anylens.pipelines import PipelineLens, noise_level
from anylens.running.interventions import scale
from anylens.running.step import Step


@dataclass(frozen=True)
class Denoising:
    """A run of a pipeline by what it took the clean picture to be.

    Attributes:
        steps: the steps, each with its timestep.
        clean: the prediction at each, `[step, batch, ...]`: latents, or pictures where the pipeline has no latents.
            Rows are those that the scheduler steps; some pipelines keep both halves of guidance.
        noisy: what the step began with, of the same shape.
        output: what the pipeline returned.
    """

    steps: tuple[Step, ...]
    clean: Float[Tensor, "step batch ..."]
    noisy: Float[Tensor, "step batch ..."]
    output: Any


@dataclass(frozen=True)
class _Call:
    """What a scheduler's step was given, and the prediction in it."""

    predicted: Tensor
    sample: Tensor
    clean: Tensor


def predicted_clean(lens: Lens, *args: Any, **kwargs: Any) -> Denoising:
    """Run a pipeline and return what it took the clean picture to be at each step.

    The arguments are the pipeline's own. The formula follows from the scheduler's prediction type: epsilon, v, the
    sample itself, or a flow's velocity. (Ho et al. 2020, https://arxiv.org/abs/2006.11239.)

    >>> lens = anylens.load("zoo:shapes-diffusion")
    >>> found = predicted_clean(lens, "a red circle", num_inference_steps=3, output_type="latent")
    >>> list(found.clean.shape), [int(step.timestep) for step in found.steps]
    ([3, 1, 4, 8, 8], [999, 666, 332])

    Raises RunError for what is no pipeline with a scheduler, or a scheduler of an unknown kind.
    """
    pipeline = _watched(lens, args, kwargs)
    with _heard(pipeline.model.scheduler) as calls:
        output, steps = lens.record(*args, points=f"{pipeline.step_part}.hook_out", **kwargs)
    clean, noisy = (torch.stack([getattr(call, name) for call in calls]) for name in ("clean", "sample"))
    return Denoising(tuple(steps.indices(steps.names[0])), clean, noisy, output)


def contributions(
    lens: Lens, *args: Any, points: str | Iterable[str], **kwargs: Any
) -> dict[str, Float[Tensor, "step batch ..."]]:
    """Return what each point adds to the prediction at each step: the prediction less the one without it.

    For each point the pipeline runs once more with that point set to zero, such as what a block writes
    (`hook_conv_out`, `hook_attn_out`); every step still goes on with the untouched prediction, so that all runs see the
    same noisy inputs. (Ablation by zero, as in Olsson et al. 2022, https://arxiv.org/abs/2209.11895.)

    >>> lens = anylens.load("zoo:shapes-diffusion")
    >>> run = {"num_inference_steps": 2, "output_type": "latent"}
    >>> found = contributions(lens, "a red circle", points="unet.mid.attentions.0.*.hook_mlp_out", **run)
    >>> [list(value.shape) for value in found.values()]
    [[2, 1, 4, 8, 8]]

    Raises as `predicted_clean` does.
    """
    pipeline = _watched(lens, args, kwargs)
    with _same_noise(kwargs) as again:
        again()
        with _heard(pipeline.model.scheduler) as whole:
            lens.run_with_hooks(*args, hooks={}, **kwargs)
        found = {}
        for point in lens.points.select(points):
            again()
            with _heard(pipeline.model.scheduler, instead=whole) as without:
                lens.run_with_hooks(*args, hooks={point.name: scale(0)}, **kwargs)
            pairs = zip(whole, without, strict=True)
            found[point.name] = torch.stack([one.clean - other.clean for one, other in pairs])
    return found


@torch.no_grad()
def decoded(lens: Lens, latents: Float[Tensor, "*lead channel height width"]) -> Tensor:
    """Return latents as pictures between 0 and 1, by the pipeline's own decoder; pictures themselves are only scaled.

    (Rombach et al. 2021, "High-Resolution Image Synthesis with Latent Diffusion Models",
    https://arxiv.org/abs/2112.10752.)

    >>> lens = anylens.load("zoo:shapes-diffusion")
    >>> list(decoded(lens, torch.randn(2, 1, 4, 8, 8)).shape)
    [2, 1, 3, 32, 32]
    """
    flat = latents.flatten(0, -4)
    vae = getattr(lens.model, "vae", None)
    if vae is not None:
        flat = flat / vae.config.scaling_factor + (getattr(vae.config, "shift_factor", None) or 0.0)
        flat = vae.decode(flat.to(vae.dtype), return_dict=False)[0]
    pictures: Tensor = (flat / 2 + 0.5).clamp(0, 1)
    return pictures.reshape(*latents.shape[:-3], *pictures.shape[1:])


def _watched(lens: Lens, args: tuple[Any, ...], kwargs: dict[str, Any]) -> PipelineLens:
    """Return the lens of a pipeline, watched if it was not before."""
    if not isinstance(lens, PipelineLens) or not callable(getattr(lens._scheduler(), "step", None)):
        raise RunError(
            f"{type(lens.model).__name__} is no pipeline with a scheduler, so it predicts no clean picture."
        )
    if not lens.parts:
        lens.watch((args, kwargs))
    return lens


@contextmanager
def _heard(scheduler: Any, *, instead: list[_Call] | None = None) -> Iterator[list[_Call]]:
    """Note what a scheduler is given at each step. With `instead` it goes on with those calls in place of its own."""
    calls: list[_Call] = []
    own, held = scheduler.step, vars(scheduler).get("step")

    @functools.wraps(own)
    def step(model_output: Tensor, timestep: Any, sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        calls.append(_Call(model_output, sample, clean_from(scheduler, model_output, timestep, sample)))
        if instead is not None:
            model_output, sample = instead[len(calls) - 1].predicted, instead[len(calls) - 1].sample
        return own(model_output, timestep, sample, *args, **kwargs)

    scheduler.step = step
    try:
        yield calls
    finally:
        if held is None:
            del scheduler.step
        else:
            scheduler.step = held


def clean_from(scheduler: Any, predicted: Tensor, timestep: Any, sample: Tensor) -> Tensor:
    """Return the clean picture that a prediction stands for, by a scheduler's own noise levels.

    With the share of picture a and of noise s in `a * picture + s * noise`: from noise `(x - s * noise) / a`, from v
    `a * x - s * v`, from a flow's velocity `x - s * velocity`. Schedulers that keep `picture + sigma * noise` say so by
    scaling what the model takes. (Ho et al. 2020, https://arxiv.org/abs/2006.11239; Salimans and Ho 2022,
    https://arxiv.org/abs/2202.00512.)

    >>> from diffusers import DDIMScheduler
    >>> scheduler = DDIMScheduler()
    >>> kept = scheduler.alphas_cumprod[500]
    >>> picture, noise = torch.randn(2, 1, 3, 4, 4)
    >>> noisy = kept**0.5 * picture + (1 - kept) ** 0.5 * noise
    >>> bool(torch.allclose(clean_from(scheduler, noise, 500, noisy), picture, atol=1e-5))
    True

    Raises RunError for a scheduler without a noise level there, or a prediction type that is not known.
    """
    level = noise_level(scheduler, float(timestep))
    kind = getattr(scheduler.config, "prediction_type", None) or "flow_prediction"
    if level is None or kind not in _CLEAN or hasattr(scheduler, "precondition_outputs"):
        raise RunError(
            f"{type(scheduler).__name__} with predictions of type {kind!r} is not known: known are "
            f"{', '.join(_CLEAN)}, with a noise level at every timestep."
        )
    if kind == "flow_prediction":
        return sample - level * predicted
    kept = 1 / (1 + level**2) ** 0.5
    scaled = getattr(scheduler, "scale_model_input", lambda x, _: x)(sample, timestep)
    return _CLEAN[kind](scaled, predicted, (kept, level * kept))


_Shares = tuple[float, float]
_CLEAN: dict[str, Callable[[Tensor, Tensor, _Shares], Tensor]] = {
    "epsilon": lambda x, noise, shares: (x - shares[1] * noise) / shares[0],
    "v_prediction": lambda x, v, shares: shares[0] * x - shares[1] * v,
    "sample": lambda _, picture, __: picture,
    "flow_prediction": lambda x, velocity, shares: x - shares[1] * velocity,
}


@contextmanager
def _same_noise(kwargs: dict[str, Any]) -> Iterator[Callable[[], None]]:
    """Yield a function that sets all random numbers back to what they are now; torch's own go back at the end."""
    given = kwargs.get("generator")
    own = [one for one in (given if isinstance(given, list) else [given]) if one is not None]
    states = [one.get_state() for one in own]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        state = torch.get_rng_state()

        def again() -> None:
            torch.set_rng_state(state)
            for one, kept in zip(own, states, strict=True):
                one.set_state(kept)

        yield again
