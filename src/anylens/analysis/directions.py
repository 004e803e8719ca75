"""Directions: which way the model's values go when one thing about its inputs changes."""

from typing import Any

import torch
from torch import Tensor

from anylens.core.errors import AxisError
from anylens.lens import Lens
from anylens.running.examples import as_arguments


@torch.no_grad()
def difference_of_means(lens: Lens, towards: Any, away: Any, *, point: str) -> Tensor:
    """Return the mean value at a point over one batch of inputs less that over another: the axes after batch.

    Added to the model's values at the point, it pushes them towards what the first inputs share and the second lack.
    Raises AxisError if the point's first axis is not the batch.
    """
    if lens.points[point].axes[:1] != ("batch",):
        raise AxisError(f"{point} has axes {' '.join(lens.points[point].axes)}: the first must be batch.")
    first, second = (_mean(lens, given, point) for given in (towards, away))
    return first - second


def _mean(lens: Lens, given: Any, point: str) -> Tensor:
    args, kwargs = as_arguments(given)
    _, cache = lens.run_with_cache(*args, points=point, stop_early=True, **kwargs)
    return cache[lens.points[point].name].mean(0)


def random_like(direction: Tensor, *, seed: int) -> Tensor:
    """Return a random direction as long as `direction` along its last axis: the control for a steering vector."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(direction.shape, generator=generator).to(direction)
    length: Tensor = direction.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True)
    return noise * length
