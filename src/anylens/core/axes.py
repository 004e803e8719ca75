"""Named axes, and the rearrangement between a model's own layout and the canonical one.

An einops pattern is its own inverse: what was read through it is written back through the same one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import einops
import torch

Axes = tuple[str, ...]
Back = Callable[[torch.Tensor], torch.Tensor]

_POSITIONS = ("pos", "query_pos")


def feature_axis(axes: Axes) -> int:
    """Return the axis of a value's features: the channels of a picture, else the last."""
    return axes.index("channel") if "channel" in axes else len(axes) - 1


def _same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


@dataclass(frozen=True)
class Layout:
    """How a tensor of the model becomes the tensor a user sees: an einops pattern, and the sizes it needs.

    With `heads`, the axis `head` has that many entries whatever the run does for speed. Where each key and value
    head was repeated for its group of queries, one of each group is shown, and a write goes to all of them. Where
    the queries of a group were packed into the axis of positions, they are unpacked.
    """

    pattern: str = ""
    sizes: tuple[tuple[str, int], ...] = field(default=())
    heads: int = 0
    axes: Axes = ()

    def view(self, tensor: torch.Tensor) -> tuple[torch.Tensor, Back]:
        """Return the tensor as a user sees it, and the function that takes such a tensor back.

        Raises ValueError for a tensor that does not fit.
        """
        seen, back = self._rearranged(tensor)
        if not self.heads or "head" not in self.axes:
            return seen, back
        axis = self.axes.index("head")
        found = seen.shape[axis]
        if found == self.heads:
            return seen, back
        if found % self.heads == 0:
            return _one_of_each(seen, axis, found // self.heads, back)
        return self._unpacked(seen, back)

    def sized(self, **sizes: int) -> "Layout":
        """Return the layout with some of its sizes taken from a run."""
        return replace(self, sizes=tuple((dict(self.sizes) | sizes).items()))

    def _rearranged(self, tensor: torch.Tensor) -> tuple[torch.Tensor, Back]:
        if not self.pattern:
            return tensor, _same
        source, _, target = self.pattern.partition(" -> ")
        try:
            seen = einops.rearrange(tensor, self.pattern, **dict(self.sizes))
        except einops.EinopsError as error:
            raise ValueError(f"shape {list(tensor.shape)} does not fit {self.pattern!r}") from error
        named = {axis: size for axis, size in self.sizes if axis in target.split()}
        return seen, lambda new: einops.rearrange(new, f"{target} -> {source}", **named)

    def _unpacked(self, seen: torch.Tensor, back: Back) -> tuple[torch.Tensor, Back]:
        """Take the queries of each group out of the axis of positions; they stand for one position."""
        head = self.axes.index("head")
        place = next(self.axes.index(name) for name in _POSITIONS if name in self.axes)
        groups, packed = seen.shape[head], seen.shape[place]
        if groups * packed != self.heads:
            raise ValueError(f"{groups} heads where the watched forward had {self.heads}")
        names = [f"a{n}" for n in range(seen.dim())]
        packing = " ".join("g" if n == head else "p" if n == place else name for n, name in enumerate(names))
        plain = " ".join(
            "(g p)" if n == head else "1" if n == place else name for n, name in enumerate(names)
        )
        unpacked = einops.rearrange(seen, f"{packing} -> {plain}")
        return unpacked, lambda new: back(einops.rearrange(new, f"{plain} -> {packing}", g=groups, p=packed))


def _one_of_each(seen: torch.Tensor, axis: int, times: int, back: Back) -> tuple[torch.Tensor, Back]:
    """Show one of each run of repeated heads; write to all of them."""
    index = [slice(None)] * seen.dim()
    index[axis] = slice(None, None, times)
    return seen[tuple(index)], lambda new: back(new.repeat_interleave(times, axis))
