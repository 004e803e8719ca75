"""Measuring an autoencoder on samples that neither it nor its model was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

from anylens.lens import Lens
from anylens.sae.base import Sae
from anylens.sae.metrics import Quality, Recovery, quality, recovered
from anylens.sae.truth import Found, find_factors
from anylens.tasks.recipe import Recipe
from anylens.tasks.scoring import scored
from anylens.tasks.task import Task


@dataclass(frozen=True)
class Measured:
    """What was measured of one autoencoder; steering apart."""

    quality: Quality
    recovery: Recovery
    found: Sequence[Found]


def measured(recipe: Recipe, lens: Lens, task: Task, sae: Sae, *, samples: int, seed: int = 5) -> Measured:
    """Measure on held-out samples."""
    inputs = task.inputs(samples, seed=seed, split="held_out")
    scores = scored(recipe, lens, task, sae, inputs)
    some = [inputs[number] for number in range(min(4 if task.steps is None else 1, len(inputs)))]
    return Measured(
        quality(sae, scores.parts),
        recovered(lens, recipe.point, sae, some, task.loss),
        find_factors(scores.acts, scores.labels, scores.sample),
    )
