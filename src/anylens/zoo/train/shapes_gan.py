"""Trains `shapes-gan`: a generator and a discriminator of 32 x 32 pictures, in plain PyTorch.

Run `python -m anylens.zoo.train.shapes_gan`; it takes about 15 minutes on one core.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import softplus

from anylens.zoo.nets.gan import GAN
from anylens.zoo.train.loop import Plan, batch_seed, fit
from anylens.zoo.train.script import Script, Trained
from anylens.zoo.worlds.shapes import sample

BATCH = 64
PICTURES = 16384
"""How many pictures are drawn before the training, which takes each many times."""

SIZES = {"latent": 64, "width": 40, "stages": 3, "channels": 3}

REAL = 0.9
"""What the discriminator is to say of real pictures: a little less than certain, so that it stays useful."""


def train(plan: Plan) -> Trained:
    """The trained pair."""
    torch.manual_seed(plan.seed)
    model = GAN.of(**SIZES)
    pictures = sample(PICTURES, seed=batch_seed(plan.seed, 0), split="train").pixel_values

    def loss_at(step: int) -> Tensor:
        return loss_of(model, pictures[torch.randint(PICTURES, (BATCH,))])

    outcome = fit(model, loss_at, plan)
    return Trained(model=model, seconds=outcome.seconds, config=dict(SIZES))


def loss_of(model: GAN, real: Tensor) -> Tensor:
    """Both players' losses in one sum, the gradient of each reaching its own weights only."""
    made = model.generator(torch.randn(len(real), model.generator.latent))
    judge = model.discriminator
    on_real, on_made = judge(real), judge(made.detach())
    told_apart: Tensor = (softplus(-on_real) + (1 - REAL) * on_real).mean() + softplus(on_made).mean()
    frozen = {name: weight.detach() for name, weight in judge.named_parameters()}
    unmasked: Tensor = softplus(-functional_call(judge, frozen, (made,))).mean()
    return told_apart + unmasked


def plan_of(steps: int, seed: int) -> Plan:
    """The settings that the shipped weights were trained with, for this many steps."""
    return Plan(
        steps=steps,
        seed=seed,
        learning_rate=5e-4,
        warmup=min(100, steps // 10),
        weight_decay=0.0,
        clip=100.0,
        betas=(0.5, 0.999),
        average=0.998,
    )


SCRIPT = Script(name="shapes-gan", steps=6000, batch=BATCH, plan_of=plan_of, train=train)

if __name__ == "__main__":
    SCRIPT.main()
