"""What every training script does around its training: read the options, write the folder, measure, record."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from anylens.zoo import check, files
from anylens.zoo.catalogue import entry
from anylens.zoo.train.loop import Plan


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained model, and what its files need beside it.

    model: a model or a pipeline. seconds: how long the training took. settings: what to save beside the model, such as
    its processor. config: for a plain module, what makes it again. facts: what else the card should say.
    """

    model: Any
    seconds: float
    settings: Iterable[files.Saveable] = ()
    config: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Script:
    """One model's training: `train` turns a plan into a model, and `plan_of(steps, seed)` gives the plan.

    steps, batch: what the shipped weights were trained with.
    """

    name: str
    steps: int
    batch: int
    plan_of: Callable[[int, int], Plan]
    train: Callable[[Plan], Trained]

    def main(self, arguments: list[str] | None = None) -> None:
        """Train, write and measure the model beside its folder, and put it there when all is done."""
        known = entry(self.name)
        parser = argparse.ArgumentParser(prog=f"python -m {known.script}", description=known.summary)
        parser.add_argument("--steps", type=int, default=self.steps)
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--threads", type=int, default=1, help="CPU threads")
        parser.add_argument("--folder", type=Path, help="where to write the files (default: the package)")
        given = parser.parse_args(arguments)
        if given.folder is None and (given.steps, given.seed) != (self.steps, 0):
            parser.error(f"{self.name} ships with {self.steps} steps and seed 0: write others to a --folder")
        folder = files.room(given.folder or known.folder)
        torch.set_num_threads(given.threads)
        plan = self.plan_of(given.steps, given.seed)
        with files.in_place_of(folder) as draft:
            self.write(self.train(plan), plan, folder=draft)
            measured = check.record(self.name, folder=draft)
        print(json.dumps(measured, indent=2))

    def write(self, trained: Trained, plan: Plan, *, folder: Path) -> None:
        """Write the model's folder."""
        files.write_model(
            folder,
            model=trained.model,
            settings=trained.settings,
            config=trained.config,
            shared=entry(self.name).shares,
            card=self.card(trained, plan),
        )

    def card(self, trained: Trained, plan: Plan) -> dict[str, Any]:
        """What the card says of the training."""
        known = entry(self.name)
        return {
            "name": self.name,
            "world": known.world,
            "command": f"python -m {known.script} --steps {plan.steps} --seed {plan.seed}",
            "seed": plan.seed,
            "steps": plan.steps,
            "batch": self.batch,
            "learning_rate": plan.learning_rate,
            "weight_decay": plan.weight_decay,
            **trained.facts,
            "seconds": round(trained.seconds),
            "threads": torch.get_num_threads(),
        }
