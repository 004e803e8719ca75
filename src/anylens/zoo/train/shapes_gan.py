"""Trains `shapes-gan`: a generator and a discriminator of 32 x 32 pictures, in plain PyTorch.

Run `python -m anylens.zoo.train.shapes_gan`. Latents ask for pictures of the
world, as `anylens.zoo.feeding.latents` says, and the generator is led by both: its pictures are to be the ones asked
for, pixel by pixel, and to pass for real ones. First, briefly, it descends the squares of differences, which soon puts
objects in their places but leaves edges soft; then their absolute values, which makes edges sharp; for the last tenth
the discriminator joins, with a small say: with a larger one, for longer, fewer pictures are recognised. Source: Isola
et al., "Image-to-image translation with conditional adversarial networks", 2017 (arXiv:1611.07004).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import max_pool2d, softplus

from anylens.zoo.feeding import LATENT, latents
from anylens.zoo.nets.gan import GAN, Discriminator
from anylens.zoo.train.loop import Plan, batch_seed, fit
from anylens.zoo.train.script import Script, Trained
from anylens.zoo.worlds.shapes import FACTORS, masks, sample

BATCH = 64
PICTURES = 32768
"""How many pictures are drawn before the training, which takes each many times."""

SIZES: dict[str, Any] = {
    "latent": LATENT,
    "width": 32,
    "stages": 3,
    "channels": 3,
    "choices": [len(values) for values in FACTORS.values()],
}

REAL = 0.9
"""What the discriminator is to say of real pictures: a little less than certain, so that it stays useful."""

SQUARES, ABSOLUTE = 50.0, 15.0
"""What the mean square of a picture's difference from the one asked for counts, and its mean absolute value."""

OBJECT = 0.25
"""How much more the object counts in these means, as a share of the picture: small objects as much as large ones."""

ROUGH = 0.1
"""Of the steps, the first ones, in which squares are descended."""

ALONE = 0.9
"""Of the steps, the first ones, which the generator takes without a discriminator."""

SEEN = 0.3
"""What the discriminator's word counts beside them."""

BLUR = 0.1
"""Standard deviation of the noise through which the discriminator sees pictures, lest it look at the world's own."""


def train(plan: Plan) -> Trained:
    """The trained pair."""
    torch.manual_seed(plan.seed)
    model = GAN.of(**SIZES)
    lay_out(model, torch.channels_last)  # the same numbers, half the time
    batch = sample(PICTURES, seed=batch_seed(plan.seed, 0), split="train")
    pictures, asked = batch.pixel_values, latents(batch, seed=plan.seed)
    weights = weights_of(masks(batch.scenes))

    def loss_at(step: int) -> Tensor:
        rows = torch.randint(PICTURES, (BATCH,))
        made = model.generator(asked[rows])
        missed = made - pictures[rows]
        missed = SQUARES * missed.square() if step < ROUGH * plan.steps else ABSOLUTE * missed.abs()
        loss: Tensor = (weights[rows] * missed).mean()
        if step < ALONE * plan.steps:
            return loss
        others = pictures[torch.randint(PICTURES, (BATCH,))]
        both: Tensor = loss + SEEN * loss_of(model.discriminator, noisy(others), noisy(made))
        return both

    outcome = fit(model, loss_at, plan)
    lay_out(model, torch.contiguous_format)
    return Trained(model=model, seconds=outcome.seconds, config=dict(SIZES))


def lay_out(model: GAN, order: torch.memory_format) -> None:
    """Keep the weights of convolutions in memory in an order of dimensions."""
    for weight in model.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=order)


def weights_of(ink: Tensor) -> Tensor:
    """What each pixel counts, [n, 1, height, width], of pictures whose objects cover `ink`, [n, height, width]."""
    near = max_pool2d(ink[:, None], 3, stride=1, padding=1)  # the object and the pixels around it
    return 1 + OBJECT * near / near.mean((2, 3), keepdim=True)


def noisy(pictures: Tensor) -> Tensor:
    """Pictures as the discriminator sees them."""
    return pictures + BLUR * torch.randn_like(pictures)


def loss_of(judge: Discriminator, real: Tensor, made: Tensor) -> Tensor:
    """Both players' losses in one sum, the gradient of each reaching its own weights only."""
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
        learning_rate=1e-2,
        warmup=min(100, steps // 10),
        weight_decay=0.0,
        clip=100.0,
        betas=(0.5, 0.99),
        average=0.99,
        report_every=100,
    )


SCRIPT = Script(name="shapes-gan", steps=12000, batch=BATCH, plan_of=plan_of, train=train)

if __name__ == "__main__":
    SCRIPT.main()
