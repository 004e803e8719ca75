"""What denoisers of the shapes world share: encoded pictures, the schedule of noise, and the loss on its velocity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anylens.zoo.train.loop import batch_seed
from anylens.zoo.worlds.shapes import Scene, sample

if TYPE_CHECKING:
    from diffusers import DDIMScheduler

PICTURES = 16384
"""How many pictures are encoded before the training, which takes each many times with other noise."""

CHUNK = 256


@dataclass(frozen=True)
class Encoded:
    """Scenes and the latents of their pictures: [n, 4, 8, 8], of about unit variance."""

    scenes: tuple[Scene, ...]
    latents: Tensor

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """n of them at random: their places in the pool, [n], and their latents."""
        places = torch.randint(len(self.scenes), (n,))
        return places, self.latents[places]


@torch.no_grad()
def encoded(vae: Any, *, n: int | None = None, seed: int = 0) -> Encoded:
    """Draw pictures and encode them; a latent is the middle of its posterior, as what lies beside it is noise.

    n: how many, rounded up to whole chunks; by default `PICTURES`.
    """
    scenes: list[Scene] = []
    latents = []
    for number in range(-(-(n or PICTURES) // CHUNK)):
        batch = sample(CHUNK, seed=batch_seed(seed, number), split="train")
        latents.append(vae.encode(batch.pixel_values).latent_dist.mode())
        scenes += batch.scenes
    return Encoded(tuple(scenes), torch.cat(latents) * vae.config.scaling_factor)


def scheduler() -> DDIMScheduler:
    """A schedule that ends in pure noise, so that sampling may begin there; the model predicts the velocity."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,  # pipelines ask for it; trailing timesteps do not use it
    )


def velocity_loss(schedule: Any, latents: Tensor, predict: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """How far the predicted velocity is from the true one, at a random time for each latent.

    predict: takes noisy latents and times, [n]. A velocity is what Salimans and Ho call v, in "Progressive
    distillation for fast sampling of diffusion models" (2022, arXiv:2202.00512).
    """
    times = torch.randint(schedule.config.num_train_timesteps, (len(latents),))
    noise = torch.randn_like(latents)
    noisy = schedule.add_noise(latents, noise, times)
    velocity: Tensor = schedule.get_velocity(latents, noise, times)
    return (predict(noisy, times) - velocity).square().mean()
