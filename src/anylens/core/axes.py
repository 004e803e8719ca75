"""Named axes, and the rearrangement between a model's own layout and the canonical one.

An einops pattern is its own inverse: what was read through it is written back through the same one.
"""

from dataclasses import dataclass, field

import einops
import torch

Axes = tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """How a tensor of the model becomes the tensor a user sees: an einops pattern and the sizes it needs."""

    pattern: str
    sizes: tuple[tuple[str, int], ...] = field(default=())

    def read(self, tensor: torch.Tensor) -> torch.Tensor:
        """Rearrange from the model's layout; a view where torch can give one."""
        return einops.rearrange(tensor, self.pattern, **dict(self.sizes))

    def write(self, tensor: torch.Tensor) -> torch.Tensor:
        """Rearrange back to the model's layout."""
        source, _, target = self.pattern.partition(" -> ")
        return einops.rearrange(tensor, f"{target} -> {source}", **self._known(target))

    def _known(self, target: str) -> dict[str, int]:
        """Keep the sizes of axes that the target names: einops refuses others."""
        return {axis: size for axis, size in self.sizes if axis in target.split()}
