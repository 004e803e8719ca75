"""Activations of an autoencoder beside the truth of the world, row by row or pooled over each sample."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anylens.harvest.job import Job, samples_of
from anylens.lens import Lens
from anylens.sae.base import Sae
from anylens.store.rows import Rows, joined
from anylens.tasks.recipe import Recipe
from anylens.tasks.task import Factors, Task

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

    @property
    def parts(self) -> list[Rows]:
        """The rows, as many at a time as are encoded at once."""
        return parts_of(self.rows)


def parts_of(rows: Rows) -> list[Rows]:
    """Return rows some at a time, so that not all of them are encoded at once."""
    return [rows[slice(start, start + MOST)] for start in range(0, len(rows), MOST)]


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
    """Return each factor of samples, or of the positions of rows; at all positions of a sample what the whole is."""
    if pooled:
        return truth
    place = (rows.sample - first, *rows.where[:, 1:].long().unbind(1))
    return {name: value[place[: value.ndim]] for name, value in truth.items()}


def _pooled(sae: Sae, rows: Rows, samples: int) -> Tensor:
    """Return the largest activation over the rows of each sample: `[sample, F]`."""
    found = torch.zeros(samples, sae.d_sae)
    for part in parts_of(rows):
        found.scatter_reduce_(0, part.sample[:, None].expand(-1, sae.d_sae), sae.encode(part.values), "amax")
    return found
