"""Trains `shapes-gan`: a generator and a discriminator of 32 x 32 pictures, in plain PyTorch.

Run `python -m anylens.zoo.train.shapes_gan`; it takes about 12 minutes on one core. Beside the discriminator the
generator is led by `shapes-resnet`: that must be sure of what it sees in each picture, and see every kind alike.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import softplus

from anylens.zoo.loading import load_model
from anylens.zoo.nets.gan import GAN, Discriminator
from anylens.zoo.train.loop import Plan, batch_seed, fit
from anylens.zoo.train.script import Script, Trained
from anylens.zoo.worlds.shapes import sample

BATCH = 64
PICTURES = 32768
"""How many pictures are drawn before the training, which takes each many times."""

SIZES = {"latent": 64, "width": 32, "stages": 3, "channels": 3}

REAL = 0.9
"""What the discriminator is to say of real pictures: a little less than certain, so that it stays useful."""

CLEAR = 0.3
"""What the classifier counts for, beside the discriminator."""


def train(plan: Plan) -> Trained:
    """The trained pair."""
    torch.manual_seed(plan.seed)
    model = GAN.of(**SIZES)
    classifier = load_model("shapes-resnet").requires_grad_(False)
    pictures = sample(PICTURES, seed=batch_seed(plan.seed, 0), split="train").pixel_values

    def loss_at(step: int) -> Tensor:
        made = model.generator(torch.randn(BATCH, model.generator.latent))
        real = pictures[torch.randint(PICTURES, (BATCH,))]
        return loss_of(model.discriminator, real, made) + CLEAR * vagueness(classifier, made)

    outcome = fit(model, loss_at, plan)
    return Trained(model=model, seconds=outcome.seconds, config=dict(SIZES))


def loss_of(judge: Discriminator, real: Tensor, made: Tensor) -> Tensor:
    """Both players' losses in one sum, the gradient of each reaching its own weights only."""
    on_real, on_made = judge(real), judge(made.detach())
    told_apart: Tensor = (softplus(-on_real) + (1 - REAL) * on_real).mean() + softplus(on_made).mean()
    frozen = {name: weight.detach() for name, weight in judge.named_parameters()}
    unmasked: Tensor = softplus(-functional_call(judge, frozen, (made,))).mean()
    return told_apart + unmasked


def vagueness(classifier: Any, made: Tensor) -> Tensor:
    """How unsure a classifier is of each picture, less how unsure it is of a picture of them all: in nats."""
    chances = classifier(pixel_values=made).logits.softmax(-1)
    return entropy(chances).mean() - entropy(chances.mean(0))


def entropy(chances: Tensor) -> Tensor:
    """Of chances in the last dimension, in nats."""
    spread: Tensor = torch.special.entr(chances).sum(-1)
    return spread


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
        report_every=100,
    )


SCRIPT = Script(name="shapes-gan", steps=3000, batch=BATCH, plan_of=plan_of, train=train)

if __name__ == "__main__":
    SCRIPT.main()
