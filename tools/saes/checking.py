"""What a shipped autoencoder is worth, as a card beside its weights."""

import hashlib
import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from anylens.sae.base import Sae
from anylens.sae.files import WEIGHTS, load
from anylens.sae.truth import share_over
from anylens.store.storage import write_whole
from anylens.tasks.making import opened
from anylens.tasks.recipe import Recipe
from anylens.tasks.scoring import scored
from anylens.tasks.steering import Steering, Success
from anylens.zoo.saes import SAES_FOLDER
from tools.saes.measuring import Measured, measured

CARD = "card.json"
SHOWN_SEED = 2  # of the samples by which features are chosen for steering


def check(recipe: Recipe) -> dict[str, Any]:
    """Measure an autoencoder from its files, and write its card."""
    lens, task = opened(recipe)
    sae = load(SAES_FOLDER / recipe.name)
    known = scored(recipe, lens, task, sae, task.inputs(recipe.held_out, seed=SHOWN_SEED, split="train"))
    successes = Steering(recipe, lens, task, sae, known).successes(recipe.trials)
    found = measured(recipe, lens, task, sae, samples=recipe.held_out)
    card = facts(recipe, sae, found, task.values) | _steering(successes, task.values)
    write_whole(SAES_FOLDER / recipe.name / CARD, (json.dumps(card, indent=1) + "\n").encode())
    return card


def facts(recipe: Recipe, sae: Sae, found: Measured, values: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Return what was measured, steering apart."""
    weights = (SAES_FOLDER / recipe.name / WEIGHTS).read_bytes()
    named: dict[str, dict[str, Any]] = {}
    for one in found.found:
        named.setdefault(one.factor, {})[values[one.factor][one.value]] = {
            "feature": one.feature,
            "auroc": round(one.auroc, 4),
            "control": round(one.control, 4),
        }
    return {
        "variant": sae.variant,
        "latents": sae.d_sae,
        "samples": recipe.held_out,
        "rows": found.quality.rows,
        "l0": round(found.quality.l0, 2),
        "fvu": round(found.quality.fvu, 4),
        "dead": found.quality.dead,
        "recovered": round(found.recovery.share, 4),
        "loss": {name: round(value, 5) for name, value in asdict(found.recovery).items()},
        "over": round(share_over(found.found), 4),
        "factors": named,
        "bytes": len(weights),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }


def _steering(successes: list[Success], values: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    told = [
        asdict(one)
        | {"value": values[one.factor][one.value]}
        | {name: round(getattr(one, name), 3) for name in ("changed", "kept", "control")}
        for one in successes
    ]
    means = {
        name: round(statistics.fmean(getattr(one, name) for one in successes), 3)
        for name in ("changed", "kept", "control")
    }
    return {"steering": means, "steered": told}


def card_of(recipe: Recipe) -> dict[str, Any] | None:
    """Return the card of an autoencoder, None where there is none."""
    file = SAES_FOLDER / recipe.name / CARD
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
