"""Keeping an autoencoder where it ships from, with what made it."""

from pathlib import Path
from typing import Any

import torch

from anylens.sae import save
from anylens.sae.base import Sae
from anylens.tasks.recipe import Recipe
from anylens.zoo.saes import SAES_FOLDER


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
