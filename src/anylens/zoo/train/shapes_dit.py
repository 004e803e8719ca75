"""Trains `shapes-dit`: a diffusion transformer of a colour and shape, in the latents of `shapes-vae`.

Run `python -m anylens.zoo.train.shapes_dit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from anylens.zoo.loading import load_model
from anylens.zoo.train.denoising import encoded, scheduler, velocity_loss
from anylens.zoo.train.labels import LABELS, labels_of
from anylens.zoo.train.loop import Plan, fit
from anylens.zoo.train.script import Script, Trained

if TYPE_CHECKING:
    from diffusers import DiTTransformer2DModel

BATCH = 64
CLASSES = 1000
"""The pipeline takes the class of this number for none; those beyond the world's labels are never used."""


def transformer() -> DiTTransformer2DModel:
    """The denoiser: 16 patches of 2 x 2 latents."""
    from diffusers import DiTTransformer2DModel

    return DiTTransformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=5,
        num_attention_heads=4,
        attention_head_dim=20,
        num_embeds_ada_norm=CLASSES,
    )


def train(plan: Plan) -> Trained:
    """The pipeline with its trained denoiser; in training it drops one label in ten by itself."""
    from diffusers import DiTPipeline

    torch.manual_seed(plan.seed)
    vae, model, schedule = load_model("shapes-vae"), transformer(), scheduler()
    pool = encoded(vae, seed=plan.seed)
    labels = labels_of(pool.scenes)

    def loss_at(step: int) -> Tensor:
        places, latents = pool.draw(BATCH)
        asked = labels[places]
        return velocity_loss(
            schedule, latents, lambda noisy, times: model(noisy, timestep=times, class_labels=asked).sample
        )

    outcome = fit(model, loss_at, plan)
    names = dict(enumerate(LABELS))
    pipeline = DiTPipeline(transformer=model, vae=vae, scheduler=schedule, id2label=names)
    pipeline.register_to_config(id2label=names)  # or its index would not have them
    return Trained(model=pipeline, seconds=outcome.seconds)


def plan_of(steps: int, seed: int) -> Plan:
    """The settings that the shipped weights were trained with, for this many steps."""
    warmup = min(200, steps // 10)
    return Plan(steps=steps, seed=seed, learning_rate=2e-3, warmup=warmup, average=0.998, report_every=100)


SCRIPT = Script(name="shapes-dit", steps=26000, batch=BATCH, plan_of=plan_of, train=train)

if __name__ == "__main__":
    SCRIPT.main()
