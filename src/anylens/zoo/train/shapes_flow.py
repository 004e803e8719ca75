"""Trains `shapes-flow`: a flow of affine couplings on 16 x 16 pictures, in plain PyTorch.

Run `python -m anylens.zoo.train.shapes_flow`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from anylens.zoo.nets.flow import RealNVP
from anylens.zoo.train.loop import Plan, batch_seed, fit
from anylens.zoo.train.script import Script, Trained
from anylens.zoo.worlds.halved import dequantised, halved
from anylens.zoo.worlds.shapes import sample

BATCH = 32
PICTURES = 16384
"""How many pictures are drawn before the training, which takes each many times."""

SIZES: dict[str, Any] = {"shape": [3, 16, 16], "layers": 12, "hidden": 32}


def train(plan: Plan) -> Trained:
    """The trained flow; the loss is nats for each value of a picture, of which bits are log2(e) times as many."""
    torch.manual_seed(plan.seed)
    model = RealNVP(**SIZES)
    pictures = halved(sample(PICTURES, seed=batch_seed(plan.seed, 0), split="train").pixels)

    def loss_at(step: int) -> Tensor:
        batch = dequantised(pictures[torch.randint(PICTURES, (BATCH,))])
        return -model.log_prob(batch).mean() / batch[0].numel()

    outcome = fit(model, loss_at, plan)
    return Trained(model=model, seconds=outcome.seconds, config=dict(SIZES))


def plan_of(steps: int, seed: int) -> Plan:
    """The settings that the shipped weights were trained with, for this many steps."""
    warmup = min(200, steps // 10)
    return Plan(steps=steps, seed=seed, learning_rate=1e-3, warmup=warmup, weight_decay=0.0, average=0.99)


SCRIPT = Script(name="shapes-flow", steps=1500, batch=BATCH, plan_of=plan_of, train=train)

if __name__ == "__main__":
    SCRIPT.main()
