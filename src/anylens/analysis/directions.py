"""Directions: which way the model's values go when one thing about its inputs changes."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from anylens.core.errors import AxisError
from anylens.lens import Lens
from anylens.running.examples import as_arguments


@torch.no_grad()
def difference_of_means(
    lens: Lens, towards: Any, away: Any, *, points: str | Iterable[str]
) -> dict[str, Tensor]:
    """Return, by point, the mean value over one batch of inputs less that over another: the axes after batch.

    Added to the model's values at the point, it pushes them towards what the first inputs share and the second lack.
    Raises AxisError if a point's first axis is not the batch.
    """
    for point in lens.points.select(points):
        if point.axes[:1] != ("batch",):
            raise AxisError(f"{point.name} has axes {' '.join(point.axes)}: the first must be batch.")
    first, second = (_means(lens, given, points) for given in (towards, away))
    return {name: first[name] - second[name] for name in first}


def _means(lens: Lens, given: Any, points: str | Iterable[str]) -> dict[str, Tensor]:
    args, kwargs = as_arguments(given)
    _, cache = lens.run_with_cache(*args, points=points, stop_early=True, **kwargs)
    return {name: value.mean(0) for name, value in cache.items()}


def random_like(direction: Tensor, *, seed: int) -> Tensor:
    """Return a random direction as long as `direction` along its last axis: the control for a steering vector."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(direction.shape, generator=generator).to(direction)
    length: Tensor = direction.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True)
    return noise * length
