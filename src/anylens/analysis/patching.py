"""Activation patching: where does what differs between two inputs sit, and when does it move?

The corrupted input is run once for every cell of a grid, each time with one place at one point taken from the run on
the clean input. Where the metric comes back, what tells the two inputs apart was at that place. (Meng et al. 2022,
"Locating and Editing Factual Associations in GPT", https://arxiv.org/abs/2202.05262.)

Cells are rows of a batch: one forward does many of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from anylens.anatomy.points import Point
from anylens.core.errors import AxisError, EditError, ShapeError
from anylens.core.tree import leaves, replace
from anylens.lens import Lens
from anylens.running.actions import At, Hook
from anylens.running.examples import Arguments, as_arguments

Metric = Callable[[Any], Tensor]
Place = int | Sequence[int]


@dataclass(frozen=True)
class PatchGrid:
    """What the metric was in every cell.

    points: names, in the order of the rows. axis: the axis that was patched along. places: the positions on it that
    each column stands for. values: the metric after patching. clean, corrupted: the metric of the inputs as they are.
    """

    points: tuple[str, ...]
    axis: str
    places: tuple[tuple[int, ...], ...]
    values: Float[Tensor, "pair point place"]
    clean: Float[Tensor, "pair"]
    corrupted: Float[Tensor, "pair"]

    @property
    def recovered(self) -> Float[Tensor, "pair point place"]:
        """How much of the way from corrupted to clean each cell goes: 0 none of it, 1 all of it."""
        whole = (self.clean - self.corrupted)[:, None, None]
        return (self.values - self.corrupted[:, None, None]) / whole


@dataclass(frozen=True)
class _Cells:
    """Some cells of a grid, each with every pair: row r of the batch is cell r // pairs, pair r % pairs."""

    cells: tuple[tuple[str, tuple[int, ...]], ...]
    axis: str
    pairs: int

    def names(self) -> list[str]:
        """Return the points at which these cells patch."""
        return list(dict.fromkeys(name for name, _ in self.cells))

    def hook(self, source: Tensor) -> Hook:
        """Return what puts the clean run's value into each row's own place."""

        def put(value: Tensor, at: At) -> Tensor:
            mask = self.mask(value, at)
            clean = source.repeat(len(self.cells), *[1] * (source.dim() - 1))
            if clean.shape != value.shape:
                raise ShapeError(
                    f"{at.name} has shape {list(source.shape)} on the clean input and "
                    f"{[self.pairs, *value.shape[1:]]} on the corrupted one. Give inputs of the same size."
                )
            return torch.where(mask, clean, value)

        return put

    def mask(self, value: Tensor, at: At) -> Tensor:
        """Return which positions each row patches, shaped to broadcast against the value."""
        along = at.axes.index(self.axis)
        mask = torch.zeros(len(self.cells), value.shape[along], dtype=torch.bool)
        for row, (name, place) in enumerate(self.cells):
            if name == at.name:
                mask[row, list(place)] = True
        shape = [1] * value.dim()
        shape[0], shape[along] = len(self.cells) * self.pairs, value.shape[along]
        return mask.repeat_interleave(self.pairs, 0).reshape(shape).to(value.device)


@torch.no_grad()
def patch_grid(
    lens: Lens,
    clean: Any,
    corrupted: Any,
    *,
    points: str | Iterable[str],
    metric: Metric,
    over: str | Mapping[str, Iterable[Place]] = "pos",
    rows: int = 128,
) -> PatchGrid:
    """Patch the clean run into the corrupted one, one point and one place at a time.

    Args:
        lens: the model.
        clean, corrupted: inputs as `run_with_cache` takes them (a tensor, a tuple, a mapping), n pairs in the first
            dimension of every tensor.
        points: names or globs; each is a row of the grid.
        metric: from the model's output to one number for each row of the batch, `[batch]`. Row r holds pair r % n.
        over: the axis whose positions are the columns, or that axis with the places wanted, each a position or a
            list of positions that are patched together: `{"pos": [0, [1, 2, 3]]}`.
        rows: the most rows that one forward may have.

    Raises:
        AxisError: a point lacks the axis or the position, or has no batch.
        ShapeError: the inputs differ in size, or the metric does not give one number for each row.
    """
    pairs = _pairs(clean, corrupted)
    args, kwargs = as_arguments(clean)
    output, cache = lens.run_with_cache(*args, points=points, **kwargs)
    axis, places = _columns(over, [(lens.points[name], cache[name]) for name in cache])
    wanted = [(name, place) for name in cache for place in places]
    values = []
    each = max(1, rows // pairs)
    for start in range(0, len(wanted), each):
        part = _Cells(tuple(wanted[start : start + each]), axis, pairs)
        values.append(_run(lens, corrupted, cache, part, metric))
    args, kwargs = as_arguments(corrupted)
    return PatchGrid(
        points=tuple(cache),
        axis=axis,
        places=places,
        values=torch.cat(values).reshape(len(cache), len(places), pairs).permute(2, 0, 1),
        clean=_measured(metric, output, pairs),
        corrupted=_measured(metric, lens.run_with_hooks(*args, hooks={}, **kwargs), pairs),
    )


def _run(
    lens: Lens, corrupted: Any, cache: Mapping[str, Tensor], part: _Cells, metric: Metric
) -> Float[Tensor, "cell pair"]:
    args, kwargs = _repeated(as_arguments(corrupted), len(part.cells))
    hooks = {name: part.hook(cache[name]) for name in part.names()}
    output = lens.run_with_hooks(*args, hooks=hooks, **kwargs)
    return _measured(metric, output, len(part.cells) * part.pairs).reshape(-1, part.pairs)


def _measured(metric: Metric, output: Any, rows: int) -> Float[Tensor, "row"]:
    found: object = metric(output)
    if not isinstance(found, Tensor) or found.shape != (rows,):
        given = f"shape {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise ShapeError(f"The metric must give one number for each of the {rows} rows; it gave {given}.")
    return found


def _pairs(clean: Any, corrupted: Any) -> int:
    """Return how many pairs of inputs there are."""
    shapes = [[tuple(tensor.shape) for _, tensor in leaves(as_arguments(one))] for one in (clean, corrupted)]
    if shapes[0] != shapes[1]:
        raise ShapeError(f"The clean input has shapes {shapes[0]} and the corrupted one {shapes[1]}.")
    counts = {shape[0] if shape else 0 for shape in shapes[0]}
    if len(counts) != 1 or 0 in counts:
        raise ShapeError(
            f"Every tensor of an input must have the same number of rows, at least one; shapes are {shapes[0]}."
        )
    return counts.pop()


def _columns(
    over: str | Mapping[str, Iterable[Place]], found: list[tuple[Point, Tensor]]
) -> tuple[str, tuple[tuple[int, ...], ...]]:
    """Return the axis to patch along and the places on it, checked against every point."""
    if not isinstance(over, str) and len(over) != 1:
        raise EditError(f"over names one axis, and was given {', '.join(over) or 'none'}.")
    axis = over if isinstance(over, str) else next(iter(over))
    sizes = {_size(point, value, axis) for point, value in found}
    if isinstance(over, str):
        if len(sizes) > 1:
            raise AxisError(f"The points have {sorted(sizes)} positions on {axis}. Name the places to patch.")
        return axis, tuple((position,) for position in range(sizes.pop()))
    places = tuple((place,) if isinstance(place, int) else tuple(place) for place in over[axis])
    outside = [p for place in places for p in place if not all(-size <= p < size for size in sizes)]
    if outside or not places:
        what = (
            f"{outside[0]} is outside {axis}, which has {min(sizes)} positions" if outside else "none given"
        )
        raise AxisError(f"Places to patch: {what}.")
    return axis, places


def _size(point: Point, value: Tensor, axis: str) -> int:
    if axis not in point.axes[1:] or point.axes[0] != "batch":
        raise AxisError(
            f"{point.name} has axes {' '.join(point.axes)}: patching along {axis!r} needs batch first, then it."
        )
    return value.shape[point.axes.index(axis)]


def _repeated(given: Arguments, times: int) -> Arguments:
    """Repeat every tensor of an input along its first dimension."""
    for key, tensor in list(leaves(given)):
        given = replace(given, key, tensor.repeat(times, *[1] * (tensor.dim() - 1)))
    return given
