"""A task's inputs: samples of its world, with what the task adds to each."""

from collections.abc import Callable, Sequence
from typing import Any, overload

from torch import Tensor

from anylens.zoo.feeding import Samples

Given = dict[str, Any]


Add = Callable[[Samples, int, Given], Given]


def nothing(samples: Samples, number: int, given: Given) -> Given:
    """Add nothing."""
    return {}


class Inputs(Sequence[Given]):
    """Samples with further arguments for the model, such as labels for its loss."""

    def __init__(self, samples: Samples, add: Add = nothing) -> None:
        """Add to input `number` what `add(samples, number, input)` returns."""
        self.samples, self.add = samples, add

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, number: int) -> Given: ...

    @overload
    def __getitem__(self, number: slice) -> list[Given]: ...

    def __getitem__(self, number: int | slice) -> Given | list[Given]:
        if isinstance(number, slice):
            return [self[one] for one in range(len(self))[number]]
        if number >= len(self):
            raise IndexError(number)
        given = self.samples[number]
        return {**given, **self.add(self.samples, number, given)}

    def truth(self, number: int) -> Any:
        """Return the batch of the world behind an input."""
        return self.samples.truth(number)

    @property
    def values(self) -> Any:
        """What the values of each factor are called."""
        return self.samples.values

    def labels(self, number: int, extent: tuple[int, ...]) -> dict[str, Tensor]:
        """Return each factor's value at each position of an input."""
        return self.samples.labels(number, extent)
