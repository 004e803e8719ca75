"""Which positions of a value become rows, and how a value of any axes is cut into rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from anylens.core.axes import Axes, feature_axis
from anylens.core.errors import AxisError, StoreError
from anylens.families.layouts import Layout
from anylens.store.rows import Rows

NAMED = ("all", "first", "patches", "attended")
Positions = str | int | slice | Sequence[int] | torch.Tensor | Callable[[Any], torch.Tensor]


def row_axes(axes: Axes) -> Axes:
    """Return the axes on which a row has its place."""
    feature = feature_axis(axes)
    return tuple(axis for number, axis in enumerate(axes) if axis != "batch" and number != feature)


def expect_choice(positions: Positions) -> None:
    """Refuse what is no choice of positions."""
    if isinstance(positions, str) and positions not in NAMED:
        raise StoreError(
            f"positions={positions!r} is unknown. Give {', '.join(map(repr, NAMED))}, indices, a slice, a mask, or a "
            "function from an input to a mask."
        )


def describe(positions: Positions) -> str:
    """Say what was chosen, for the manifest: two harvests with the same words make the same rows."""
    if isinstance(positions, torch.Tensor):
        return f"{positions.dtype} {positions.tolist()}".removeprefix("torch.")
    return getattr(positions, "__qualname__", None) or repr(positions)


def cut(value: torch.Tensor, axes: Axes, mask: torch.Tensor, *, first: int, step: int) -> Rows:
    """Cut a value into rows.

    Args:
        value: on `axes`, `batch` among them.
        mask: `[batch, *row_axes]`, which positions are kept.
        first: the number of the value's first sample.
        step: the step of the run.
    """
    rows = _rows_last(value, axes)
    places = mask.nonzero()
    where = torch.cat([torch.full((len(places), 1), step), places[:, 1:]], dim=1).to(torch.int32)
    return Rows(rows[mask], places[:, 0] + first, where, row_axes(axes))


def _rows_last(value: torch.Tensor, axes: Axes) -> torch.Tensor:
    """Put the batch first and the features last: channels-last, for the maps of a convolution."""
    if "batch" not in axes or value.ndim != len(axes) or len(axes) < 2:
        raise AxisError(
            f"A value of {list(value.shape)} on {' '.join(axes)} cannot be cut into rows: rows need a batch axis and "
            "an axis of features."
        )
    return value.movedim((axes.index("batch"), feature_axis(axes)), (0, -1)).contiguous()


def chosen(
    positions: Positions, shape: torch.Size, axes: Axes, layout: Layout | None, given: Any
) -> torch.Tensor:
    """Return the mask `[batch, *row_axes]` of the positions that become rows.

    Args:
        positions: the choice.
        shape: of the value, on `axes`.
        layout: where positions lie in the input, for `patches`.
        given: the input, for `attended` and for a function.

    Raises:
        AxisError: the choice does not fit the value.
    """
    names = row_axes(axes)
    sizes = [shape[axes.index("batch")], *(shape[axes.index(name)] for name in names)]
    if not isinstance(positions, str) and callable(positions):
        return _fitted(torch.as_tensor(positions(given)), sizes, names)
    if isinstance(positions, torch.Tensor) and positions.dtype == torch.bool:
        return _fitted(positions, sizes, names)
    if positions == "all":
        return torch.ones(sizes, dtype=torch.bool)
    if positions == "attended":
        return _fitted(_attended(given, sizes), sizes, names)
    if not names:
        raise AxisError(f"The value has no axis of positions, and positions={positions!r} chooses some.")
    along = torch.zeros(sizes[1], dtype=torch.bool)
    if positions == "patches":
        along = _patches(layout, sizes[1:]) if len(names) == 1 else torch.ones(sizes[1], dtype=torch.bool)
    else:
        along[_index(0 if positions == "first" else positions, sizes[1], names[0])] = True
    return along.reshape(1, -1, *[1] * (len(names) - 1)).expand(sizes).clone()


def _index(positions: Any, size: int, name: str) -> Any:
    if isinstance(positions, slice):
        return positions
    wanted = torch.as_tensor(positions).reshape(-1)
    if wanted.is_floating_point() or (
        len(wanted) and not -size <= int(wanted.min()) <= int(wanted.max()) < size
    ):
        raise AxisError(f"positions={positions!r} are no indices on {name}, which has {size}.")
    return wanted.long()


def _patches(layout: Layout | None, sizes: list[int]) -> torch.Tensor:
    if layout is None:
        raise AxisError(
            "The lens has no layout that says which positions are patches. Give indices or a mask."
        )
    places = [layout.where((number,), (sizes[0],)) for number in range(sizes[0])]
    return torch.tensor([place.box is not None for place in places])


def _attended(given: Any, sizes: list[int]) -> torch.Tensor:
    mask = given.get("attention_mask") if isinstance(given, Mapping) else None
    if not isinstance(mask, torch.Tensor):
        return torch.ones(sizes[0], dtype=torch.bool)
    return mask.bool()


def _fitted(mask: torch.Tensor, sizes: list[int], names: Axes) -> torch.Tensor:
    """Spread a mask over the axes it lacks: `[pos]`, `[batch]` or `[batch, pos]`."""
    if mask.dtype != torch.bool:
        raise AxisError(f"A mask of positions is boolean, and {mask.dtype} was given.")
    mask = mask.cpu()
    if list(mask.shape) == sizes[1 : 1 + mask.ndim] and list(mask.shape) != sizes[: mask.ndim]:
        mask = mask[None]
    if mask.ndim > len(sizes) or any(a not in (1, b) for a, b in zip(mask.shape, sizes, strict=False)):
        raise AxisError(
            f"A mask of {list(mask.shape)} does not fit batch {' '.join(names)} of sizes {sizes}."
        )
    return mask.reshape(*mask.shape, *[1] * (len(sizes) - mask.ndim)).expand(sizes).clone()
