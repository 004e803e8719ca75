"""Trains `shapes-vae`: a variational autoencoder of pictures, on the evidence lower bound with a fixed noise.

Run `python -m anylens.zoo.train.shapes_vae`; it takes about 6 minutes on one core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anylens.zoo.train.loop import Plan, batch_seed, fit
from anylens.zoo.train.script import Script, Trained
from anylens.zoo.worlds.drawing import SIDE
from anylens.zoo.worlds.shapes import sample

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

BATCH = 16

SPREAD = 0.07
"""Standard deviation of the noise that the likelihood assumes on each value of a picture, which is -1..1."""


def untrained() -> AutoencoderKL:
    """The model as it starts: 32 x 32 pictures, latents of 4 channels and 8 x 8."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        block_out_channels=[16, 32, 48],
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIDE,
    )


def train(plan: Plan) -> Trained:
    """The trained model; its `scaling_factor` brings latents to unit variance."""
    torch.manual_seed(plan.seed)
    model = untrained()
    outcome = fit(model, lambda step: bound(model, _pictures(plan, step)), plan)
    model.register_to_config(scaling_factor=round(1 / _latent_spread(model, plan), 4))
    return Trained(model=model, seconds=outcome.seconds, facts={"spread": SPREAD})


def bound(model: Any, pictures: Tensor) -> Tensor:
    """The negative evidence lower bound, in nats for each value of a picture, up to a constant."""
    posterior = model.encode(pictures).latent_dist
    missed: Tensor = (model.decode(posterior.sample()).sample - pictures).square().mean()
    cost: Tensor = posterior.kl().mean() / pictures[0].numel()
    return missed / (2 * SPREAD**2) + cost


def _pictures(plan: Plan, step: int) -> Tensor:
    pictures: Tensor = sample(BATCH, seed=batch_seed(plan.seed, step), split="train").pixel_values
    return pictures


@torch.no_grad()
def _latent_spread(model: Any, plan: Plan) -> float:
    """The standard deviation of latents, over pictures that come after the last step's."""
    batches = (_pictures(plan, plan.steps + number) for number in range(64))
    return torch.cat([model.encode(pictures).latent_dist.sample() for pictures in batches]).std().item()


def plan_of(steps: int, seed: int) -> Plan:
    """The settings that the shipped weights were trained with, for this many steps."""
    warmup = min(100, steps // 10)
    return Plan(steps=steps, seed=seed, learning_rate=2e-3, warmup=warmup, weight_decay=0.0, average=0.99)


SCRIPT = Script(name="shapes-vae", steps=1600, batch=BATCH, plan_of=plan_of, train=train)

if __name__ == "__main__":
    SCRIPT.main()
