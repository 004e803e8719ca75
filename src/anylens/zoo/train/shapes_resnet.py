"""Trains `shapes-resnet`: a residual network that names the colour and shape in a picture.

Run `python -m anylens.zoo.train.shapes_resnet`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from anylens.zoo.train.labels import label_settings, loss_of
from anylens.zoo.train.loop import Plan, fit
from anylens.zoo.train.script import Script, Trained
from anylens.zoo.train.shapes_vit import processor

if TYPE_CHECKING:
    from transformers import ResNetConfig

BATCH = 64


def configuration() -> ResNetConfig:
    """The model's sizes and labels."""
    from transformers import ResNetConfig

    return ResNetConfig(
        embedding_size=32,
        hidden_sizes=[32, 64, 96, 128],
        depths=[2, 2, 2, 1],
        layer_type="basic",
        **label_settings(),
    )


def train(plan: Plan) -> Trained:
    """The trained model with its processor."""
    from transformers import ResNetForImageClassification

    torch.manual_seed(plan.seed)
    model = ResNetForImageClassification(configuration())
    outcome = fit(model, loss_of(model, batch=BATCH, seed=plan.seed), plan)
    return Trained(model=model, seconds=outcome.seconds, settings=(processor(),))


def plan_of(steps: int, seed: int) -> Plan:
    """The settings that the shipped weights were trained with, for this many steps."""
    return Plan(steps=steps, seed=seed, learning_rate=3e-3, warmup=min(200, steps // 10), weight_decay=0.05)


SCRIPT = Script(name="shapes-resnet", steps=2500, batch=BATCH, plan_of=plan_of, train=train)

if __name__ == "__main__":
    SCRIPT.main()
