"""Writes an example input down as Python source."""

from collections.abc import Mapping
from typing import Any

import torch

from anylens.core.errors import FamilyError

MOST_LITERAL = (
    200  # elements of an integer tensor that are written out, so that the model is sure to take them
)


def as_source(value: Any, indent: int = 0) -> str:
    """Return an expression that makes a value like this one; tensors are drawn with the generator `numbers`.

    Raises FamilyError for a value that cannot be written down.
    """
    if isinstance(value, torch.Tensor):
        return _tensor(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        return _mapping(value, indent)
    if isinstance(value, (list, tuple)):
        items = [as_source(item, indent) for item in value]
        return f"[{', '.join(items)}]" if isinstance(value, list) else _tuple(items)
    raise FamilyError(
        f"The example holds a {type(value).__name__}, which a draft cannot write down. "
        "Give an example of tensors, numbers, texts, and lists, tuples and dicts of these."
    )


def _tuple(items: list[str]) -> str:
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def _mapping(value: Mapping[Any, Any], indent: int) -> str:
    items = [f"{as_source(key)}: {as_source(item, indent + 4)}" for key, item in value.items()]
    short = "{" + ", ".join(items) + "}"
    if len(short) + indent < 90:
        return short
    lead = " " * (indent + 4)
    return "{\n" + "".join(f"{lead}{item},\n" for item in items) + " " * indent + "}"


def _tensor(value: torch.Tensor) -> str:
    shape, dtype = _tuple([str(size) for size in value.shape]) if value.ndim else "()", value.dtype
    if value.is_complex() or value.is_meta:
        raise FamilyError(
            f"The example holds a tensor of {dtype} on {value.device}, which a draft cannot write down."
        )
    if value.is_floating_point():
        within = value.numel() > 0 and float(value.min()) >= 0 and float(value.max()) <= 1
        drawn = f"torch.{'rand' if within else 'randn'}({shape}, generator=numbers)"
        return drawn if dtype == torch.float32 else f"{drawn}.to({dtype})"
    if value.numel() <= MOST_LITERAL:
        suffix = "" if dtype in (torch.int64, torch.bool) else f", dtype={dtype}"
        return f"torch.tensor({value.tolist()}{suffix})"
    low, high = int(value.min()), int(value.max()) + 1
    return f"torch.randint({low}, {high}, {shape}, generator=numbers).to({dtype})"
