"""Measuring an autoencoder on samples that neither it nor its model was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anylens.harvest.job import Job, samples_of
from anylens.lens import Lens
from anylens.sae.base import Sae
from anylens.sae.metrics import Quality, Recovery, quality, recovered
from anylens.sae.truth import Found, find_factors
from anylens.store.rows import Rows, joined
from tools.saes.recipes import Recipe
from tools.saes.tasks.task import Factors, Task

MOST = 30_000  # rows that features are scored on


@dataclass(frozen=True)
class Scored:
    """Activations with the truth: of rows, or pooled of samples.

    Attributes:
        rows: those that were encoded.
        acts: `[row or sample, F]`.
        labels: each factor, `[row or sample]`.
        sample: `[row or sample]`.
    """

    rows: Rows
    acts: Tensor
    labels: Factors
    sample: Tensor


@torch.no_grad()
def scored(recipe: Recipe, lens: Lens, task: Task, sae: Sae, inputs: Any) -> Scored:
    """Run the model on inputs and encode what it has at the point."""
    job = Job.of(lens, recipe.point, positions=recipe.positions, steps=task.steps)
    rows, truth, first = [], [], 0
    for number in range(len(inputs)):
        given = job.arguments(inputs[number])
        found = job.rows(given, first=first)[recipe.point]
        rows.append(found)
        truth.append(_labels(task.truth(inputs, number), found, first, pooled=recipe.pooled))
        first += samples_of(given)
    whole = joined(rows)
    labels = {name: torch.cat([one[name] for one in truth]) for name in recipe.factors}
    if recipe.pooled:
        return Scored(whole, _pooled(sae, whole, first), labels, torch.arange(first))
    some = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))[:MOST]
    acts = sae.encode(whole.values[some])
    return Scored(whole, acts, {name: value[some] for name, value in labels.items()}, whole.sample[some])


def _labels(truth: Factors, rows: Rows, first: int, *, pooled: bool) -> Factors:
    """Return each factor of samples, or of the positions of rows."""
    if pooled:
        return truth
    place = (rows.sample - first, *rows.where[:, 1:].long().unbind(1))
    return {name: value[place] for name, value in truth.items()}


def _pooled(sae: Sae, rows: Rows, samples: int) -> Tensor:
    """Return the largest activation over the rows of each sample: `[sample, F]`."""
    found = torch.zeros(samples, sae.d_sae)
    for start in range(0, len(rows), MOST):
        part = rows[slice(start, start + MOST)]
        found.scatter_reduce_(0, part.sample[:, None].expand(-1, sae.d_sae), sae.encode(part.values), "amax")
    return found


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
    some = [inputs[number] for number in range(min(4, len(inputs)))]
    return Measured(
        quality(sae, [scores.rows[slice(at, at + MOST)] for at in range(0, len(scores.rows), MOST)]),
        recovered(lens, recipe.point, sae, some, task.loss),
        find_factors(scores.acts, scores.labels, scores.sample),
    )
