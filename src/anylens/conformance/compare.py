"""Comparing values: bit for bit, or within a stated tolerance.

Tolerances are relative to the largest finite magnitude of the value compared, because rounding errors are.

ONE is for relations that a handful of operations make (a sum of heads, a softmax, a product): some tens of units in
the last place, since sums over d_head or d_model are taken in another order. MANY is for values that went on through
the rest of the model after such a difference, which each layer passes on and adds to: about ten times ONE.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from anylens.core.tree import children

ONE = {torch.float64: 1e-13, torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}
MANY = {torch.float64: 1e-11, torch.float32: 1e-4, torch.float16: 5e-2, torch.bfloat16: 2e-1}
MAX_DEPTH = 8
PLAIN = (str, int, float, bool, bytes, type(None))


MASK = 1e4  # scores beyond this are masks written as large numbers: they say nothing about a value's size


def through(dtypes: Iterable[str]) -> dict[torch.dtype, float]:
    """Return MANY for values that went through others of these dtypes: what is computed in less rounds as that does."""
    least = max((MANY.get(getattr(torch, dtype), 0.0) for dtype in dtypes), default=0.0)
    return {dtype: max(size, least) for dtype, size in MANY.items()}


def magnitude(value: torch.Tensor) -> float:
    """Return the mean size of a value's numbers; what is not finite, or is a mask, does not count."""
    sizes = value.detach().abs().to(torch.float64)
    sizes = sizes[sizes < MASK]
    return float(sizes.mean()) if sizes.numel() else 0.0


def same_bits(own: torch.Tensor, seen: torch.Tensor) -> bool:
    """Whether two tensors are the same in shape, dtype and every number; NaN equals NaN."""
    if own.shape != seen.shape or own.dtype != seen.dtype:
        return False
    if torch.equal(own, seen):
        return True
    return bool(own.isnan().any()) and bool(equal(own, seen).all())


def equal(own: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Return where two tensors of one shape are equal; NaN equals NaN."""
    both_nan = own.isnan() & seen.isnan() if own.is_floating_point() or own.is_complex() else own != own  # noqa: PLR0124
    return (own == seen) | both_nan


def gap(own: torch.Tensor, seen: torch.Tensor) -> float:
    """Return the largest difference relative to the largest magnitude; infinite where the two are not alike."""
    if own.shape != seen.shape:
        return float("inf")
    own, seen = own.detach().to(torch.float64), seen.detach().to(torch.float64)
    alike = equal(own, seen)
    if bool(alike.all()):
        return 0.0
    rest, other = own[~alike], seen[~alike]
    if not bool((rest.isfinite() & other.isfinite()).all()):
        return float("inf")
    largest = float(own[own.isfinite()].abs().max())
    return float((rest - other).abs().max()) / (largest or 1.0)


def near(own: torch.Tensor, seen: torch.Tensor, tolerance: Mapping[torch.dtype, float]) -> bool:
    """Whether two tensors agree: floats within the tolerance of their dtype, anything else in every number."""
    if not own.is_floating_point():
        return same_bits(own, seen)
    return gap(own, seen) <= tolerance.get(own.dtype, 1e-1)


def parts(value: Any, name: str = "output", depth: int = 0, inside: tuple[int, ...] = ()) -> Iterator[Any]:
    """Yield name and content of everything a value holds: tensors, plain values, and objects' attributes."""
    if isinstance(value, (torch.Tensor, *PLAIN)):
        yield name, value
        return
    if depth > MAX_DEPTH or id(value) in inside:
        return
    yield f"{name} (kind)", type(value).__qualname__
    held = list(children(value))
    if not held and hasattr(value, "__dict__") and not callable(value):
        held = [(str(key), item) for key, item in vars(value).items() if not str(key).startswith("__")]
    for key, item in held:
        yield from parts(item, f"{name}[{key}]", depth + 1, (*inside, id(value)))


def differences(own: Any, seen: Any, tolerance: Mapping[torch.dtype, float] | None = None) -> list[str]:
    """Say where two outputs differ: bit for bit, or beyond a tolerance if one is given."""
    mine, theirs = dict(parts(own)), dict(parts(seen))
    found = [f"{name} is only in one of the two" for name in mine.keys() ^ theirs.keys()]
    for name in mine.keys() & theirs.keys():
        said = _difference(mine[name], theirs[name], tolerance)
        if said:
            found.append(f"{name} {said}")
    return sorted(found)


def _difference(own: Any, seen: Any, tolerance: Mapping[torch.dtype, float] | None) -> str:
    if not (isinstance(own, torch.Tensor) and isinstance(seen, torch.Tensor)):
        return "" if type(own) is type(seen) and repr(own) == repr(seen) else f"is {seen!r}, not {own!r}"
    if own.shape != seen.shape or own.dtype != seen.dtype:
        return f"is {seen.dtype} {list(seen.shape)}, not {own.dtype} {list(own.shape)}"
    if same_bits(own, seen) or (tolerance is not None and near(own, seen, tolerance)):
        return ""
    return f"differs by {gap(own, seen):.1e} of its largest magnitude"


def tensors(value: Any) -> list[torch.Tensor]:
    """Return every tensor that a value holds."""
    return [item for _, item in parts(value) if isinstance(item, torch.Tensor)]
