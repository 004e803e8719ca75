"""Making an autoencoder by its recipe: rows, then training."""

import tempfile
from pathlib import Path

from anylens.harvest import Batches, InMemory, harvest
from anylens.lens import Lens
from anylens.loading import load
from anylens.sae.base import Sae
from anylens.sae.settings import Settings
from anylens.sae.train import train
from anylens.sae.variants import make
from anylens.store.rows import joined
from anylens.tasks import TASKS
from anylens.tasks.recipe import Recipe
from anylens.tasks.task import Task

SEED = 1  # of the samples that rows are harvested from


def opened(recipe: Recipe) -> tuple[Lens, Task]:
    """Return the model with its lens, and the task."""
    lens = load(f"zoo:{recipe.model}")
    return lens, TASKS[recipe.task](recipe.model, lens)


def made(
    recipe: Recipe, lens: Lens, task: Task, *, rows: Path | None = None, logs: Path | None = None
) -> Sae:
    """Harvest and train; `rows` is a folder that keeps the rows, `logs` one that keeps the training's log."""
    with tempfile.TemporaryDirectory() as temporary:
        store = harvest(
            lens,
            task.inputs(recipe.samples, seed=SEED, split="train"),
            points=recipe.point,
            to=rows or Path(temporary) / "rows",
            positions=recipe.positions,
            steps=task.steps,
        )
        column = store.column(recipe.point)
        found = joined([column.read(block, 0, size) for block, size in enumerate(column.sizes)])
    sae = make(recipe.variant, column.width, recipe.width, seed=recipe.seed, **recipe.settings)
    batches = Batches(InMemory(found.values), recipe.batch, seed=recipe.seed, epochs=None)
    how = Settings(
        steps=recipe.steps, lr=recipe.lr, dead_after=20 * recipe.batch, log_every=max(1, recipe.steps // 40)
    )
    return train(sae, batches, how, folder=logs)
