"""Directions from contrasts of inputs, to steer along without an autoencoder."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from anylens.core.errors import StoreError
from anylens.harvest.job import Job
from anylens.harvest.positions import Positions
from anylens.lens import Lens


def contrast(
    lens: Lens,
    wanted: Iterable[Any],
    other: Iterable[Any],
    *,
    point: str,
    positions: Positions = "all",
    method: Any = None,
) -> Tensor:
    """Return the direction at a point from what some inputs have in common to what others have: `[d_in]`.

    The difference of the mean activation over the rows of either. Steer along it with `anylens.steer`; at strength 1 it
    adds the whole difference.

    Args:
        lens: the lens.
        wanted: inputs, each a batch as the model takes it, that have what is to be steered towards.
        other: inputs that lack it, and are alike otherwise.
        point: where.
        positions: which positions count, as for `anylens.harvest`.
        method: what is called in place of the model.

    Source: Rimsky et al. 2023, https://arxiv.org/abs/2312.06681
    """
    job = Job.of(lens, point, positions=positions, method=method)
    return _mean(job, wanted) - _mean(job, other)


def _mean(job: Job, data: Iterable[Any]) -> Tensor:
    total, count = torch.zeros(()), 0
    for given in job.inputs(data):
        (rows,) = job.rows(given).values()
        total, count = total + rows.values.double().sum(0), count + len(rows)
    if not count:
        raise StoreError("contrast was given no inputs, or none of their positions was chosen.")
    return (total / count).float()
