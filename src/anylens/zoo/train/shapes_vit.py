"""Trains `shapes-vit`: a vision transformer that names the colour and shape in a picture.

Run `python -m anylens.zoo.train.shapes_vit`; it takes about 40 minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anylens.zoo import files
from anylens.zoo.catalogue import entry
from anylens.zoo.check import record
from anylens.zoo.train.loop import Plan, fit
from anylens.zoo.worlds.drawing import COLOURS, SHAPES, SIDE
from anylens.zoo.worlds.shapes import sample

if TYPE_CHECKING:
    from transformers import ViTConfig, ViTForImageClassification
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

NAME = "shapes-vit"
LABELS = tuple(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)
BATCH = 64
BATCHES_PER_SEED = 1_000_000
"""Step t of seed s draws the batch of seed s * BATCHES_PER_SEED + t, so no batch is drawn twice."""


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
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        architectures=["ViTForImageClassification"],
    )


def processor() -> ViTImageProcessorPil:
    """Turns pictures of any size into what the model takes: 32 x 32, each channel -1..1."""
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    return ViTImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )


def train(plan: Plan) -> tuple[ViTForImageClassification, float]:
    """The trained model and the seconds it took."""
    from transformers import ViTForImageClassification

    torch.manual_seed(plan.seed)
    model = ViTForImageClassification(configuration())

    def loss_at(step: int) -> Tensor:
        batch = sample(BATCH, seed=plan.seed * BATCHES_PER_SEED + step, split="train")
        labels = torch.tensor([LABELS.index(scene.label) for scene in batch.scenes])
        return torch.nn.functional.cross_entropy(model(pixel_values=batch.pixel_values).logits, labels)

    return model, fit(model, loss_at, plan).seconds


def plan_of(*, steps: int, seed: int) -> Plan:
    """The settings that the shipped weights were trained with, for this many steps."""
    warmup = min(200, steps // 10)
    return Plan(steps=steps, seed=seed, learning_rate=1.5e-3, warmup=warmup, weight_decay=0.05)


def card_of(plan: Plan, *, seconds: float) -> dict[str, Any]:
    """What the card says of the training."""
    return {
        "name": NAME,
        "world": entry(NAME).world,
        "command": f"python -m anylens.zoo.train.shapes_vit --steps {plan.steps} --seed {plan.seed}",
        "seed": plan.seed,
        "steps": plan.steps,
        "batch": BATCH,
        "learning_rate": plan.learning_rate,
        "weight_decay": plan.weight_decay,
        "seconds": round(seconds),
        "threads": torch.get_num_threads(),
    }


def main(arguments: list[str] | None = None) -> None:
    """Train, write the model's folder, measure what was written and record it on the card."""
    parser = argparse.ArgumentParser(prog="python -m anylens.zoo.train.shapes_vit", description=__doc__)
    parser.add_argument("--steps", type=int, default=5500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--folder", type=Path, default=entry(NAME).folder, help="where to write the files")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    plan = plan_of(steps=given.steps, seed=given.seed)
    model, seconds = train(plan)
    card = card_of(plan, seconds=seconds)
    files.write_model(given.folder, model=model, settings=(model.config, processor()), card=card)
    print(json.dumps(record(NAME, folder=given.folder), indent=2))


if __name__ == "__main__":
    main()
