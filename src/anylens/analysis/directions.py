"""Directions: which way the model's values go when one thing about its inputs changes.

Each is in the stream's own units, and is steered along as it is: `anylens.steer(direction, 1.0)`.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from anylens.core.errors import ShapeError, StoreError
from anylens.harvest.job import Job
from anylens.harvest.positions import Positions
from anylens.lens import Lens
from anylens.running.choice import Choice


def difference_of_means(
    lens: Lens,
    towards: Iterable[Any],
    away: Iterable[Any],
    *,
    points: str | Iterable[str],
    positions: Positions = "all",
    steps: Choice = None,
    method: Any = None,
) -> dict[str, Float[Tensor, "d_model"]]:
    """Return, by point, the mean over the rows of some inputs less the mean over those of others.

    Added to the model's values, it pushes them towards what the first inputs share and the second lack; at strength 1
    `anylens.steer` adds the whole difference. The inputs should be alike in all else.

    Args:
        lens: the lens.
        towards: inputs, each a batch as the model takes it, that have what is to be steered towards.
        away: inputs that lack it.
        points: names or globs.
        positions, steps, method: which rows count, as for `anylens.harvest`.

    Raises StoreError if there are no inputs on a side, or none of their positions was chosen.

    Sources: Rimsky et al. 2023, https://arxiv.org/abs/2312.06681; Marks and Tegmark 2023, https://arxiv.org/abs/2310.06824

    >>> import anylens
    >>> from anylens.zoo.feeding import Samples
    >>> lens, point = anylens.load("zoo:shapes-vit"), "blocks.3.hook_resid_post"
    >>> some, others = (Samples("shapes-vit", 8, seed=seed) for seed in (1, 2))
    >>> direction = difference_of_means(lens, some, others, points=point, positions="first")[point]
    >>> hooks = {point: anylens.steer(direction, 1.0).on(pos=0)}
    >>> lens.run_with_hooks(**others[0], hooks=hooks).logits.shape
    torch.Size([8, 48])
    """
    job = Job.of(lens, points, positions=positions, steps=steps, method=method)
    first, second = _means(job, towards), _means(job, away)
    return {name: (first[name] - second[name]).float() for name in first}


def _means(job: Job, data: Iterable[Any]) -> dict[str, Tensor]:
    """Return the mean row at each point, in float64, without keeping the rows."""
    sums, counts = {point.name: torch.zeros(()) for point in job.points}, Counter[str]()
    for given in job.inputs(data):
        for name, rows in job.rows(given).items():
            sums[name] = sums[name] + rows.values.double().sum(0)
            counts[name] += len(rows)
    empty = [name for name in sums if not counts[name]]
    if empty:
        raise StoreError(
            f"There are no rows of {empty[0]}: no inputs, or none of their positions was chosen."
        )
    return {name: total / counts[name] for name, total in sums.items()}


def principal_directions(
    values: Float[Tensor, "row d_model"], count: int = 1
) -> Float[Tensor, "component d_model"]:
    """Return the directions in which rows vary most, each as long as their standard deviation along it.

    Steered along at strength 1, a row moves by one standard deviation. The largest entry of each is positive, since a
    principal component has no sign of its own.

    Raises ShapeError if there are fewer rows or features than directions wanted.

    Source: Pearson 1901, "On lines and planes of closest fit to systems of points in space".

    >>> values = torch.tensor([[3.0, 1.0], [-3.0, 1.0], [0.0, 3.0], [0.0, -1.0]])
    >>> principal_directions(values, 2).abs().round(decimals=3)
    tensor([[2.1210, 0.0000],
            [0.0000, 1.4140]])
    """
    found = _components(values - values.mean(0), count)
    largest = found.gather(1, found.abs().argmax(1, keepdim=True))
    return found * largest.sign()


def principal_differences(
    towards: Float[Tensor, "pair d_model"], away: Float[Tensor, "pair d_model"], count: int = 1
) -> Float[Tensor, "component d_model"]:
    """Return the directions in which paired rows differ most, each as long as their differences are along it.

    The length is the root of the mean square. Unlike the difference of means, several directions come of it; each
    points to the side of the first rows. The differences are not centred: what all pairs share counts.

    Raises ShapeError if rows do not pair up, or there are fewer pairs or features than directions wanted.

    Source: Zou et al. 2023, "Representation engineering", https://arxiv.org/abs/2310.01405

    >>> towards, away = torch.tensor([[1.0, 0.5], [3.0, 0.5]]), torch.tensor([[-1.0, 0.5], [1.0, 0.5]])
    >>> principal_differences(towards, away)
    tensor([[2., 0.]])
    """
    if towards.shape != away.shape:
        raise ShapeError(f"Rows of {list(towards.shape)} and of {list(away.shape)} do not pair up.")
    found = _components(towards - away, count)
    means = (towards - away).mean(0)
    return found * torch.where(found @ means < 0, -1.0, 1.0)[:, None]


def _components(values: Tensor, count: int) -> Tensor:
    """Return the first right singular vectors, each as long as the values' root mean square along it."""
    if values.ndim != 2 or not 0 < count <= min(values.shape):
        raise ShapeError(f"{list(values.shape)} values, as [row, d_model], do not have {count} directions.")
    _, sizes, directions = torch.linalg.svd(values.float(), full_matrices=False)
    scaled: Tensor = directions[:count] * sizes[:count, None] / len(values) ** 0.5
    return scaled


def random_like(direction: Tensor, *, seed: int) -> Tensor:
    """Return a random direction as long as `direction` along its last axis: the control for a steering vector.

    (Random vectors of the same norm as a control: Turner et al. 2023, https://arxiv.org/abs/2308.10248.)

    >>> random_like(torch.tensor([3.0, 4.0]), seed=0).norm()
    tensor(5.)
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(direction.shape, generator=generator).to(direction)
    length: Tensor = direction.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True)
    return noise * length
