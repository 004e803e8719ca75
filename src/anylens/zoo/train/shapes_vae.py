"""Trains `shapes-vae`: a variational autoencoder of pictures, on the evidence lower bound with a fixed noise.

Run `python -m anylens.zoo.train.shapes_vae`. The bound alone blurs small objects
until their shapes are lost, so a second part of the training asks also that `shapes-resnet` sees in the pictures that
come back what it sees in those that went in, as autoencoders of latent diffusion are trained.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from anylens.zoo.loading import load_model
from anylens.zoo.train.loop import Plan, batch_seed, fit
from anylens.zoo.train.script import Script, Trained
from anylens.zoo.worlds.drawing import SIDE
from anylens.zoo.worlds.shapes import sample

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

BATCH = 16

FIRST = 8 / 19
"""The share of the steps that the first part takes."""

SPREADS = (0.07, 0.05)
"""Standard deviation, in each part, of the noise that the likelihood assumes on each value of a picture, -1..1."""

SEEN, NAMED = 2.0, 0.2
"""What the classifier's features and its labels count for, beside the bound in nats for each value."""


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
    model, classifier = untrained(), load_model("shapes-resnet").requires_grad_(False)
    first = max(1, round(FIRST * plan.steps))

    def loss_at(step: int) -> Tensor:
        pictures = _pictures(plan, first + step)
        made, loss = bound(model, pictures, SPREADS[1])
        return loss + unlikeness(classifier, made, pictures)

    begun = fit(model, lambda step: bound(model, _pictures(plan, step), SPREADS[0])[1], _part(plan, first))
    for weight in model.parameters():
        weight.data = weight.data.half().float()  # as a file would have kept it
    rest = replace(_part(plan, plan.steps - first), learning_rate=plan.learning_rate / 2)
    ended = fit(model, loss_at, rest)
    model.register_to_config(scaling_factor=round(1 / _latent_spread(model, plan), 4))
    facts = {"spreads": SPREADS, "first_steps": first}
    return Trained(model=model, seconds=begun.seconds + ended.seconds, facts=facts)


def _part(plan: Plan, steps: int) -> Plan:
    return replace(plan, steps=steps, warmup=min(100, steps // 10))


def bound(model: Any, pictures: Tensor, spread: float) -> tuple[Tensor, Tensor]:
    """Pictures that come back, and the negative evidence lower bound.

    The bound is in nats for each value of a picture, up to a constant.
    """
    posterior = model.encode(pictures).latent_dist
    made: Tensor = model.decode(posterior.sample()).sample
    cost: Tensor = posterior.kl().mean() / pictures[0].numel()
    return made, (made - pictures).square().mean() / (2 * spread**2) + cost


def unlikeness(classifier: Any, made: Tensor, pictures: Tensor) -> Tensor:
    """How much else than in the pictures a classifier sees in those made of them: features' directions, and labels."""
    theirs = classifier(pixel_values=made, output_hidden_states=True)
    with torch.no_grad():
        ours = classifier(pixel_values=pictures, output_hidden_states=True)
    layers = zip(theirs.hidden_states[:3], ours.hidden_states[:3], strict=True)
    seen = sum((normalize(one) - normalize(other)).square().sum(1).mean() for one, other in layers)
    named = cross_entropy(theirs.logits, ours.logits.softmax(-1))
    return SEEN * seen + NAMED * named


def _pictures(plan: Plan, step: int) -> Tensor:
    pictures: Tensor = sample(BATCH, seed=batch_seed(plan.seed, step), split="train").pixel_values
    return pictures


@torch.no_grad()
def _latent_spread(model: Any, plan: Plan) -> float:
    """The standard deviation of latents, over pictures that come after the last step's."""
    batches = (_pictures(plan, plan.steps + number) for number in range(64))
    return torch.cat([model.encode(pictures).latent_dist.mode() for pictures in batches]).std().item()


def plan_of(steps: int, seed: int) -> Plan:
    """The settings that the shipped weights were trained with, for this many steps."""
    return Plan(
        steps=steps, seed=seed, learning_rate=2e-3, warmup=0, weight_decay=0.0, average=0.99, report_every=100
    )


SCRIPT = Script(name="shapes-vae", steps=3800, batch=BATCH, plan_of=plan_of, train=train)

if __name__ == "__main__":
    SCRIPT.main()
