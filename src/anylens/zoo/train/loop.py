"""The one training loop of the zoo: AdamW under a cosine schedule with warm-up, seeded, with progress.

A model that samples is better for averaging its weights over the last steps: `Plan.average`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anylens.core.errors import ZooError

LossAt = Callable[[int], Tensor]
"""The loss to descend at a step: draws that step's batch, runs the model, returns a scalar."""

BATCHES_PER_SEED = 1_000_000
"""Step t of a training with seed s draws its batch with the seed s * BATCHES_PER_SEED + t: no batch comes twice."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how fast to train.

    learning_rate: the peak, reached after `warmup` steps; from there it falls along a cosine to zero at `steps`.
    betas: how slowly AdamW forgets the gradient and its square.
    average: the decay of a running average of the weights that the model is left with, or 0 for the weights of the last
    step. report_every: steps from one line of progress to the next.
    """

    steps: int
    learning_rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.01
    clip: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    average: float = 0.0
    seed: int = 0
    report_every: int = 50

    def __post_init__(self) -> None:
        if self.steps < 1 or self.report_every < 1:
            raise ZooError(
                f"steps is {self.steps} and report_every {self.report_every}; both must be at least 1"
            )
        if not 0 <= self.warmup < self.steps:
            raise ZooError(
                f"warmup is {self.warmup}; it must be from 0 to below steps, which is {self.steps}"
            )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a training run came to: the processor's seconds, and the mean loss of each reported stretch of steps.

    seconds are summed over threads, so that they do not grow when others use the machine too.
    """

    seconds: float
    losses: tuple[float, ...]


def rate_at(step: int, plan: Plan) -> float:
    """The learning rate at a step, counted from 0."""
    if step < plan.warmup:
        return plan.learning_rate * (step + 1) / plan.warmup
    progress = (step - plan.warmup) / (plan.steps - plan.warmup)
    return plan.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def batch_seed(seed: int, step: int) -> int:
    """The seed to draw a step's batch with, in a training with this seed."""
    return seed * BATCHES_PER_SEED + step


def fit(model: nn.Module, loss_at: LossAt, plan: Plan, *, report: Callable[[str], None] = print) -> Outcome:
    """Train the model in place; the same model, losses and plan give the same weights on one machine.

    Raises ZooError when the loss is no longer a finite number.
    """
    torch.manual_seed(plan.seed)
    optimiser = _optimiser(model, plan)
    started, used = time.perf_counter(), time.process_time()
    stretch, losses = list[float](), list[float]()
    averaged = Average(model, decay=plan.average) if plan.average else None
    model.train()
    for step in range(plan.steps):
        stretch.append(_descend(model, optimiser, loss_at(step), rate=rate_at(step, plan), clip=plan.clip))
        if not math.isfinite(stretch[-1]):
            raise ZooError(f"the loss is {stretch[-1]} at step {step}; lower the learning rate of {plan}")
        if averaged is not None:
            averaged.follow(model)
        if (step + 1) % plan.report_every == 0 or step + 1 == plan.steps:
            losses.append(sum(stretch) / len(stretch))
            report(progress_line(step + 1, plan, loss=losses[-1], seconds=time.perf_counter() - started))
            stretch.clear()
    if averaged is not None:
        averaged.put_into(model)
    model.eval()
    return Outcome(seconds=time.process_time() - used, losses=tuple(losses))


def progress_line(done: int, plan: Plan, *, loss: float, seconds: float) -> str:
    """One line of progress: steps done, loss, speed and the minutes that remain."""
    speed = done / seconds
    left = (plan.steps - done) / speed / 60
    return f"step {done}/{plan.steps}  loss {loss:.4f}  {speed:.2f} steps/s  {left:.1f} min left"


class Average:
    """A running average of a model's parameters and buffers.

    The decay starts low, so that the average does not remember the untrained weights.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.values = {name: value.clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def follow(self, model: nn.Module) -> None:
        """Move the average towards the model as it is now."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value, 1 - decay)
            else:
                self.values[name].copy_(value)

    def put_into(self, model: nn.Module) -> None:
        """Give the model the averaged weights."""
        model.load_state_dict(self.values)


def _optimiser(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """AdamW that decays matrices only: biases, gains and other vectors keep their size."""
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in wanted if p.ndim >= 2], "weight_decay": plan.weight_decay},
        {"params": [p for p in wanted if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=plan.betas)


def _descend(
    model: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor, *, rate: float, clip: float
) -> float:
    """One step down the gradient of the loss; returns the loss."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimiser.step()
    return loss.item()
