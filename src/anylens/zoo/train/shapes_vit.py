"""Trains `shapes-vit`: a vision transformer that names the colour and shape in a picture.

Run `python -m anylens.zoo.train.shapes_vit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from anylens.zoo.train.labels import LABELS, label_settings, loss_of
from anylens.zoo.train.loop import Plan, fit
from anylens.zoo.train.script import Script, Trained
from anylens.zoo.worlds.drawing import SIDE

if TYPE_CHECKING:
    from transformers import ViTConfig
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

__all__ = ["LABELS", "SCRIPT", "configuration", "processor", "train"]

BATCH = 64


def configuration() -> ViTConfig:
    """The model's sizes and labels."""
    from transformers import ViTConfig

    return ViTConfig(
        image_size=SIDE,
        patch_size=4,
        hidden_size=80,
        num_hidden_layers=6,
        num_attention_heads=4,
        intermediate_size=320,
        initializer_range=0.12,  # about 1 / sqrt(80): the usual 0.02 suits wider models and learns half as fast
        **label_settings(),
    )


def processor() -> ViTImageProcessorPil:
    """Turns pictures of any size into what the model takes: 32 x 32, each channel -1..1."""
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    return ViTImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )


def train(plan: Plan) -> Trained:
    """The trained model with its processor."""
    from transformers import ViTForImageClassification

    torch.manual_seed(plan.seed)
    model = ViTForImageClassification(configuration())
    outcome = fit(model, loss_of(model, batch=BATCH, seed=plan.seed), plan)
    return Trained(model=model, seconds=outcome.seconds, settings=(processor(),))


def plan_of(steps: int, seed: int) -> Plan:
    """The settings that the shipped weights were trained with, for this many steps."""
    warmup = min(200, steps // 10)
    return Plan(steps=steps, seed=seed, learning_rate=1.5e-3, warmup=warmup, weight_decay=0.05)


SCRIPT = Script(name="shapes-vit", steps=5500, batch=BATCH, plan_of=plan_of, train=train)

if __name__ == "__main__":
    SCRIPT.main()
