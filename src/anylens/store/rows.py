"""Rows of activations, each with where it came from."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Rows:
    """Some rows and their provenance.

    Attributes:
        values: `[row, width]`.
        sample: `[row]` int64, the number of the sample, counted over all inputs.
        where: `[row, 1 + axes]` int32, the step of the run (0 where there was one forward), then the index on each axis
            of positions, such as `pos`, or `height` and `width`.
        axes: the names of those axes, where they are known.
    """

    values: torch.Tensor
    sample: torch.Tensor
    where: torch.Tensor
    axes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: slice | torch.Tensor) -> "Rows":
        return Rows(self.values[index], self.sample[index], self.where[index], self.axes)

    @property
    def bytes(self) -> int:
        """The memory that they take."""
        return sum(part.numel() * part.element_size() for part in (self.values, self.sample, self.where))


def joined(parts: Sequence[Rows]) -> Rows:
    """Return rows one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Rows(
        torch.cat([part.values for part in parts]),
        torch.cat([part.sample for part in parts]),
        torch.cat([part.where for part in parts]),
        parts[0].axes,
    )
