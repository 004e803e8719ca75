"""What all tasks share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from anylens.lens import Lens
from anylens.running.choice import Choice
from anylens.running.regions import Region
from anylens.tasks.inputs import Given, Inputs
from anylens.zoo.feeding import Samples
from anylens.zoo.worlds import shapes

Factors = dict[str, Tensor]  # factor -> [output] or [sample, *position] int, -1 where there is none


class Task(ABC):
    """A model at work: inputs, the truth of its rows, and a judge of its outputs who does not know the autoencoder.

    Attributes:
        values: what the values of each factor are called.
        size: samples of an input.
        steps: which steps of a run become rows; None for one forward.
    """

    values: ClassVar[Mapping[str, tuple[str, ...]]] = shapes.FACTORS
    size: ClassVar[int] = 64
    steps: Choice = None

    def __init__(self, model: str, lens: Lens) -> None:
        self.model, self.lens = model, lens
        self.net: Any = lens.model

    def inputs(self, samples: int, *, seed: int, split: str) -> Inputs:
        """Return inputs of a split, each a batch."""
        return Inputs(Samples(self.model, samples, batch=self.size, seed=seed, split=split), self.added)

    def added(self, samples: Samples, number: int, given: Given) -> Given:
        """Return what the model needs for its loss or its run beside input `number`; nothing, if not overridden."""
        return {}

    @abstractmethod
    def truth(self, inputs: Any, number: int) -> Factors:
        """Return what is true of input `number`: of each sample `[n]`, or of each position `[n, *position]`."""

    @abstractmethod
    def shown(self, given: Any) -> Factors:
        """Run the model on an input and return what its outputs show, `[n]` each."""

    @abstractmethod
    def loss(self, output: Any, given: Any) -> Tensor:
        """Return what the model's output costs."""

    def region(self, trials: Any, number: int, rows: Sequence[int] | None = None) -> Region | None:
        """Return where trial `number`, or some samples of it, is steered; None, if not overridden: everywhere."""
        return None

    def trials(self, samples: int, *, seed: int) -> Sequence[Any]:
        """Return inputs to steer."""
        return self.inputs(samples, seed=seed, split="held_out")


def index_of(values: Sequence[str], found: Sequence[str | None]) -> Tensor:
    """Return the numbers of values, -1 for what is none of them."""
    return torch.tensor([values.index(one) if one in values else -1 for one in found])
