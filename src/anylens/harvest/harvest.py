"""Harvest: run a model over data once, and keep what it has at some points as rows."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from anylens.anatomy.points import Point
from anylens.core.axes import Axes
from anylens.core.errors import StoreError
from anylens.core.progress import Progress
from anylens.core.tree import leaves
from anylens.families.layouts import Layout
from anylens.harvest.positions import Positions, chosen, cut, describe, expect_choice, row_axes
from anylens.lens import Lens
from anylens.running.choice import Choice
from anylens.running.examples import as_arguments
from anylens.store.reader import Store
from anylens.store.rows import Rows, joined
from anylens.store.writer import SHARD_BYTES, Writer

Captured = list[tuple[int, torch.Tensor]]  # the values of a point: step, value


def harvest(  # noqa: PLR0913 - each is one plain choice of the user's
    lens: Lens,
    data: Iterable[Any],
    *,
    points: str | Iterable[str],
    to: Path | str,
    positions: Positions = "all",
    steps: Choice = None,
    method: Any = None,
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
    progress: bool | None = None,
) -> Store:
    """Run a model over inputs and write what it has at some points to a folder, as rows.

    Called again with the same arguments after it was cut off, it goes on where it was: no row is lost, none is doubled.

    Args:
        lens: the lens.
        data: inputs as `attach` takes them (a tensor, a dict, a tuple; texts, where the lens has a tokenizer), each a
            batch. A run that resumes goes through it from the beginning and skips what was done.
        points: names or globs; all are taken in one pass, and the forward ends after the last of them.
        to: the folder.
        positions: which positions become rows: `"all"`, `"first"`, `"patches"` (those that the layout places in the
            picture), `"attended"` (where `attention_mask` is 1), indices, a slice, a mask `[pos]`, `[batch]` or
            `[batch, pos]`, or a function from an input to a mask. Maps of a convolution become rows of channels.
        steps: for a run that calls the model again and again (`method="generate"`, a pipeline): which steps are kept,
            as for `record`. With classifier-free guidance only the rows that follow the prompt become rows.
        method: what is called in place of the model, as for `run_with_cache`.
        dtype: the dtype of the rows, if not the model's.
        shard_bytes: the size of a file, about.
        progress: whether to show rows per second and the time left; where stderr is a terminal if not said.

    Returns:
        The store. Every row has its sample, step and position.

    Raises:
        StoreError: the folder holds rows of another harvest, or the disk is full: nothing written before is lost.
    """
    expect_choice(positions)
    wanted = lens.points.select(points)
    names = [point.name for point in wanted]
    iterative = steps is not None or method is not None
    origin = _origin(lens, wanted, positions, (steps, method, dtype))
    with Writer(to, origin, shard_bytes=shard_bytes) as writer:
        if writer.manifest.complete:
            return Store(to)
        skipped, made = writer.inputs, 0
        with Progress(f"harvest into {to}", shown=progress) as shown, torch.no_grad():
            for given in islice(_inputs(lens, data), skipped, None):
                if iterative:
                    captured = _recorded(lens, given, wanted, (steps, method, dtype))
                else:
                    _, cache = lens.run_with_cache(
                        *given[0], points=names, stop_early=True, to=dtype, **given[1]
                    )
                    captured = {point.name: [(0, cache[point.name])] for point in wanted}
                rows = {
                    point.name: _rows(
                        captured[point.name], point, lens.layout, (positions, given[1]), writer.samples
                    )
                    for point in wanted
                }
                writer.add(rows, {point.name: row_axes(point.axes) for point in wanted}, _batch(given))
                made += sum(map(len, rows.values()))
                shown.tell(made, _share(data, writer.inputs))
        writer.finish()
    return Store(to)


def _rows(
    captured: Captured, point: Point, layout: Layout | None, choice: tuple[Positions, Any], first: int
) -> Rows:
    positions, given = choice
    parts = [
        cut(
            value.cpu(),
            point.axes,
            chosen(positions, value.shape, point.axes, layout, given),
            first=first,
            step=step,
        )
        for step, value in captured
    ]
    if not parts:
        raise StoreError(f"{point.name} has none of the chosen steps.")
    return joined(parts)


def _recorded(lens: Lens, given: Any, wanted: Iterable[Point], how: tuple[Any, ...]) -> dict[str, Captured]:
    """Run step by step; of rows under guidance keep those that follow the prompt."""
    steps, method, dtype = how
    args, kwargs = given
    names = [point.name for point in wanted]
    _, found = lens.record(*args, points=names, steps=steps, method=method, to=dtype, **kwargs)
    captured: dict[str, Captured] = {}
    for name in names:
        batch = found.axes(name).index("batch") if "batch" in found.axes(name) else None
        captured[name] = []
        for step, value in found.items(name):
            kept = step.conditional
            if kept is not None and batch is not None:
                value = value.index_select(batch, torch.tensor(kept).nonzero().flatten().to(value.device))
            captured[name].append((int(step), value))
    return captured


def _inputs(lens: Lens, data: Iterable[Any]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yield inputs as arguments; texts go through the lens's tokenizer."""
    for one in data:
        texts = isinstance(one, str) or (isinstance(one, (list, tuple)) and one and isinstance(one[0], str))
        if texts and callable(lens.processor):
            listed = [one] if isinstance(one, str) else list(one)
            one = lens.processor(listed, return_tensors="pt", padding=len(listed) > 1)
        yield as_arguments(one)


def _batch(given: Any) -> int:
    """Return how many samples an input has: the first size of its first tensor, or the length of its first list."""
    for _, tensor in leaves(given):
        return len(tensor) if tensor.ndim else 1
    args, kwargs = given
    first = next(iter((*args, *kwargs.values())), None)
    return len(first) if isinstance(first, (list, tuple)) else 1


def _share(data: Any, done: int) -> float | None:
    count = len(data) if hasattr(data, "__len__") else 0
    return done / count if count else None


def _origin(
    lens: Lens, wanted: Iterable[Point], positions: Positions, how: tuple[Any, ...]
) -> Mapping[str, Any]:
    """Say what rows are made from; two harvests that agree in it can go on from each other."""
    steps, method, dtype = how
    axes: dict[str, Axes] = {point.name: point.axes for point in wanted}
    return {
        "model": type(lens.model).__name__,
        "anatomy": lens.anatomy.key,
        "points": {name: list(each) for name, each in axes.items()},
        "layout": repr(lens.layout),
        "positions": describe(positions),
        "steps": repr(steps) if not callable(steps) else getattr(steps, "__qualname__", "predicate"),
        "method": method
        if isinstance(method, str)
        else getattr(method, "__qualname__", type(method).__name__),
        "dtype": str(dtype).removeprefix("torch."),
    }
