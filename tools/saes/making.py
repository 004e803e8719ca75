"""Making an autoencoder by its recipe: rows, training, files."""

import tempfile
from pathlib import Path
from typing import Any

import torch

import anylens
from anylens.harvest import Batches, InMemory
from anylens.lens import Lens
from anylens.sae import Settings, make, save, train
from anylens.sae.base import Sae
from anylens.store.rows import joined
from anylens.tasks import TASKS
from anylens.tasks.recipe import Recipe
from anylens.tasks.task import Task
from anylens.zoo.saes import SAES_FOLDER

SEED = 1  # of the samples that rows are harvested from


def opened(recipe: Recipe) -> tuple[Lens, Task]:
    """Return the model with its lens, and the task."""
    lens = anylens.load(f"zoo:{recipe.model}")
    return lens, TASKS[recipe.task](recipe.model, lens)


def made(recipe: Recipe, lens: Lens, task: Task, *, rows: Path | None = None) -> Sae:
    """Harvest and train; `rows` is a folder that keeps the rows."""
    with tempfile.TemporaryDirectory() as temporary:
        store = anylens.harvest(
            lens,
            task.inputs(recipe.samples, seed=SEED, split="train"),
            points=recipe.point,
            to=rows or temporary,
            positions=recipe.positions,
            steps=task.steps,
        )
        column = store.column(recipe.point)
        found = joined([column.read(block, 0, size) for block, size in enumerate(column.sizes)])
        sae = make(recipe.variant, column.width, recipe.width, seed=recipe.seed, **recipe.settings)
        batches = Batches(InMemory(found.values), recipe.batch, seed=recipe.seed, epochs=None)
        how = Settings(steps=recipe.steps, lr=recipe.lr, dead_after=20 * recipe.batch)
        return train(sae, batches, how)


def kept(recipe: Recipe, sae: Sae, folder: Path | None = None) -> Path:
    """Write the autoencoder in half precision to where it ships from, or to another folder."""
    said: dict[str, Any] = {
        "model": f"zoo:{recipe.model}",
        "hook_name": recipe.point,
        "positions": str(recipe.positions),
        "command": f'make saes ARGS="{recipe.name}"',
        "samples": recipe.samples,
        "batch": recipe.batch,
        "steps": recipe.steps,
        "lr": recipe.lr,
        "seed": recipe.seed,
        "torch": torch.__version__,
    }
    return save(sae.half(), folder or SAES_FOLDER / recipe.name, metadata=said)
