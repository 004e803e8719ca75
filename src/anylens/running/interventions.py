"""Interventions: edits that are values, so that they can be narrowed, combined, printed and sent elsewhere."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch

from anylens.core.axes import feature_axis
from anylens.core.errors import AxisError, DtypeError, EditError, ShapeError
from anylens.running.actions import At
from anylens.running.choice import Choice, Chooser, for_edits
from anylens.running.regions import Region, inside, region_of

EVERY = Chooser()
Index = int | slice | Iterable[int] | torch.Tensor


@dataclass(frozen=True)
class Intervention:
    """What becomes of a value: `change` takes the part that `where` selects, and gives its new content.

    Of that, only what lies in all `regions` is changed.
    """

    name: str
    change: Callable[[torch.Tensor, At], torch.Tensor | float]
    where: Mapping[str, Index] = field(default_factory=dict)
    steps: Chooser = EVERY
    regions: tuple[Region, ...] = ()

    def on(self, *, steps: Choice = None, **axes: Index) -> Self:
        """Narrow to an index, a slice, a list of indices or a mask of named axes, and to steps of the run.

        `add(v).on(pos=slice(1, None), head=3)`, `scale(0).on(steps=anylens.timesteps(1000, 600))`.

        Raises:
            AxisError: an index is nothing of that kind; when it runs, the point lacks the axis or the index.
            EditError: the steps are no choice of steps, or count from the end.
        """
        where = {**self.where, **{axis: index_of(axis, index) for axis, index in axes.items()}}
        chosen = self.steps if steps is None else for_edits(steps)
        return dataclasses.replace(self, where=where, steps=chosen)

    def within(self, mask: torch.Tensor, *axes: str) -> Self:
        """Narrow to where a mask over several axes is True: to another place in each sample, say.

        `add(v).within(mask, "batch", "height", "width")` of a mask `[batch, height, width]`. A size of 1 is for all.

        Raises AxisError if it is no mask of as many axes; when it runs, if the point lacks one or has another size.
        """
        return dataclasses.replace(self, regions=(*self.regions, region_of(mask, axes)))

    def __call__(self, value: torch.Tensor, at: At) -> torch.Tensor | None:
        """Return the value with the selected part changed, or None at a step that is not meant."""
        if not self.steps.may_keep(at.step):
            return None
        index = select(self.where, value, at)
        part = value[index] if self.where else value
        try:
            new = self.change(part, at)
            fitted = torch.as_tensor(new, dtype=value.dtype, device=value.device).expand(part.shape)
        except RuntimeError as error:
            raise ShapeError(
                f"{self.name} at {at.name} does not fit the selected part, {list(part.shape)} of "
                f"{' '.join(at.axes)}: {error}."
            ) from error
        new = value.index_put(index, fitted) if self.where else fitted.clone()
        return inside(self.regions, new, value, at)

    def __repr__(self) -> str:
        where = {**self.where, **({} if self.steps == EVERY else {"steps": self.steps.choice})}
        narrowed = ", ".join(f"{axis}={index!r}" for axis, index in where.items())
        within = "".join(f".within({' '.join(one.axes)})" for one in self.regions)
        return (f"{self.name}.on({narrowed})" if narrowed else self.name) + within


def index_of(axis: str, index: Index) -> Index:
    """Return an index as an int, a slice, or a tensor of positions or of a mask; refuse anything else."""
    if isinstance(index, slice) or (isinstance(index, int) and not isinstance(index, bool)):
        return index
    listed = index if isinstance(index, torch.Tensor) or hasattr(index, "__array__") else _listed(index)
    try:
        wanted = torch.as_tensor(listed)
    except (TypeError, ValueError, RuntimeError):
        wanted = torch.empty(())
    if isinstance(listed, list) and not listed:
        wanted = wanted.long()
    mask = wanted.dtype == torch.bool
    if wanted.is_floating_point() or wanted.is_complex() or wanted.dim() > 1 or (mask and not wanted.dim()):
        raise AxisError(
            f"{axis}={index!r} is no index. Give an int, a slice, a list of ints, or a mask along that one axis."
        )
    return wanted


def _listed(index: Any) -> Any:
    return list(index) if isinstance(index, Iterable) and not isinstance(index, (str, bytes)) else index


def select(where: Mapping[str, Index], value: torch.Tensor, at: At) -> tuple[torch.Tensor, ...]:
    """Return the index of the selected part: one tensor a dimension, which together span a grid.

    Raises AxisError for an axis or an index that the point does not have.
    """
    unknown = [axis for axis in where if axis not in at.axes]
    if unknown:
        raise AxisError(f"{at.name} has no axis {unknown[0]!r}. Its axes are {' '.join(at.axes)}.")
    if not where:
        return ()
    if value.dim() != len(at.axes):
        raise AxisError(
            f"{at.name} has shape {list(value.shape)} in this run, which does not go with its axes "
            f"{' '.join(at.axes)}. Attach again with an example like this input."
        )
    chosen = [
        indices(where.get(axis, slice(None)), size, (axis, at)).to(value.device)
        for axis, size in zip(at.axes, value.shape, strict=True)
    ]
    return torch.meshgrid(*chosen, indexing="ij")


def indices(index: Index, size: int, place: tuple[str, At]) -> torch.Tensor:
    """Return the positions that an index stands for on an axis of a size."""
    if isinstance(index, slice):
        return torch.arange(*index.indices(size))
    wanted = torch.as_tensor(index).reshape(-1)
    if wanted.dtype == torch.bool:
        if len(wanted) != size:
            axis, at = place
            raise AxisError(
                f"A mask of {len(wanted)} does not fit axis {axis!r} of {at.name}, which has {size}."
            )
        wanted = wanted.nonzero().flatten()
    if wanted.numel() and (int(wanted.min()) < -size or int(wanted.max()) >= size):
        axis, at = place
        raise AxisError(f"{index!r} is outside axis {axis!r} of {at.name}, which has {size} positions.")
    return wanted.long() % size if size else wanted.long()


def add(vector: torch.Tensor | float) -> Intervention:
    """Add a tensor that broadcasts against the selected part, such as a direction of `[d_model]`."""
    vector = content_of("add", vector)
    return Intervention("add", lambda part, _: part + _like(vector, part))


def scale(factor: torch.Tensor | float) -> Intervention:
    """Multiply the selected part."""
    factor = content_of("scale", factor)
    return Intervention(f"scale({factor})", lambda part, _: part * _like(factor, part))


def set_to(content: torch.Tensor | float) -> Intervention:
    """Set the selected part to a tensor that broadcasts against it, or to a number."""
    content = content_of("set_to", content)
    return Intervention("set_to", lambda part, _: _like(content, part))


def ablate(mean: torch.Tensor | None = None) -> Intervention:
    """Set the selected part to zero or, if a mean is given, to that."""
    return set_to(0.0 if mean is None else mean)


def patch_from(
    cache: Mapping[str, torch.Tensor] | torch.Tensor, *, along: torch.Tensor | None = None
) -> Intervention:
    """Set the selected part to what another run had there: its cache, or one tensor.

    The other run's value must have the shape of this one's; the same part is taken from it. With `along`, a direction
    `[d_model]` or several `[direction, d_model]`, only what lies in their span is taken; they need not be orthogonal.

    Raises EditError for what is no cache, and for directions that are fewer than they look.
    """
    if not isinstance(cache, (Mapping, torch.Tensor)):
        raise EditError(f"patch_from takes a cache or a tensor, and was given {type(cache).__name__}.")

    def change(value: torch.Tensor, at: At) -> torch.Tensor:
        return _source(cache, at).to(value)

    return _Patch("patch_from", change, span=None if along is None else _span(along))


@dataclass(frozen=True)
class _Patch(Intervention):
    """Takes the selected part from a whole value of the same shape; with a `span` `[d_model, k]`, within that."""

    span: torch.Tensor | None = None

    def __call__(self, value: torch.Tensor, at: At) -> torch.Tensor | None:
        if not self.steps.may_keep(at.step):
            return None
        other = torch.as_tensor(self.change(value, at))
        if other.shape != value.shape:
            raise ShapeError(
                f"{at.name} has shape {list(value.shape)} in this run and {list(other.shape)} in the one patched from."
            )
        if self.span is not None:
            other = value + _within(self.span, other - value, at)
        index = select(self.where, value, at)
        new = value.index_put(index, other[index]) if self.where else other.clone()
        return inside(self.regions, new, value, at)

    __repr__ = Intervention.__repr__


def _span(along: torch.Tensor) -> torch.Tensor:
    """Return an orthonormal basis `[d_model, k]` of what directions span."""
    given = torch.as_tensor(content_of("patch_from", along))
    directions = given.to(torch.promote_types(given.dtype, torch.float32))
    listed = directions[None] if directions.ndim == 1 else directions
    if listed.ndim != 2 or not len(listed):
        raise ShapeError(
            f"Directions are of shape [d_model] or [direction, d_model], and {list(directions.shape)} was given."
        )
    basis: torch.Tensor
    basis, left = torch.linalg.qr(listed.T)
    lengths = left.detach().diagonal().abs()
    if len(listed) > listed.shape[1] or not bool((lengths > 1e-6 * listed.detach().norm(dim=1)).all()):
        raise EditError(
            f"{len(listed)} directions were given, and they span less: one is zero, not finite, or follows from others."
        )
    return basis


def _within(span: torch.Tensor, change: torch.Tensor, at: At) -> torch.Tensor:
    """Return the part of a change that lies in a span of its features."""
    axis = feature_axis(at.axes)
    if change.shape[axis] != len(span):
        raise ShapeError(
            f"Directions of width {len(span)} do not fit {at.name}, which has {change.shape[axis]} on axis "
            f"{at.axes[axis]!r}."
        )
    basis = span.to(change)
    within: torch.Tensor = change.movedim(axis, -1) @ basis @ basis.T
    return within.movedim(-1, axis)


def content_of(name: str, content: Any) -> torch.Tensor | float:
    """Return what an intervention puts in as a number or a tensor.

    Raises DtypeError for anything that is neither, nor an array or a list of numbers.
    """
    if isinstance(content, (torch.Tensor, int, float)):
        return content
    try:
        return torch.as_tensor(content)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DtypeError(f"{name} takes a tensor or a number, and was given {content!r}.") from error


def _like(content: torch.Tensor | float, part: torch.Tensor) -> Any:
    return content.to(part) if isinstance(content, torch.Tensor) else content


def _source(cache: Mapping[str, torch.Tensor] | torch.Tensor, at: At) -> torch.Tensor:
    if isinstance(cache, torch.Tensor):
        return cache
    if at.name not in cache:
        raise EditError(
            f"The cache to patch from has no {at.name}. Capture it in the run that gave the cache."
        )
    return cache[at.name]
