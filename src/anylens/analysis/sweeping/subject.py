"""What a sweep runs: a model on one input, again and again, with the metric of what it gives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anylens.core.errors import ShapeError
from anylens.core.seeding import seeded
from anylens.core.tree import leaves, replace
from anylens.lens import Lens
from anylens.pipelines import PipelineLens
from anylens.running.actions import Hooks
from anylens.running.examples import Arguments, as_arguments

Metric = Callable[[Any], Tensor]


@dataclass(frozen=True)
class Settings:
    """How a sweep runs.

    rows: the most rows of the batch that one forward may have; None for as many as memory allows. resume: begin each
    forward at the first block that an edit can change. method: what is called in place of the model itself, as for
    `run_with_cache`. seed: of the random numbers, the same for every run. progress: whether to say how far it is; None
    for when somebody looks.
    """

    rows: int | None = None
    resume: bool = True
    method: Any = None
    seed: int = 0
    progress: bool | None = None

    def __post_init__(self) -> None:
        if self.rows is not None and self.rows < 1:
            raise ShapeError(
                f"rows is how many a forward may have, at least one, or None for as many as fit, and was given as "
                f"{self.rows}."
            )


DEFAULT = Settings()


class Subject:
    """A model with its input."""

    def __init__(self, lens: Lens, inputs: Any, metric: Metric, settings: Settings) -> None:
        self.lens = lens
        self.metric = metric
        self.settings = settings
        self.given = as_arguments(inputs)
        self._states = [(one, one.get_state()) for one in _generators(self.given)]

    @property
    def one_forward(self) -> bool:
        """Whether a run is one call of a model; otherwise it is a pipeline's, or a method's, with steps of its own."""
        return not isinstance(self.lens, PipelineLens) and self.settings.method is None

    @property
    def rows(self) -> int:
        """How many rows the input has. Raises ShapeError if its tensors do not agree."""
        return rows_of(self.given)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        model: Any = self.lens.model  # or a pipeline
        held = model.parameters() if isinstance(model, nn.Module) else iter(())
        return next((weight.device for weight in held), torch.device(getattr(model, "device", "cpu")))

    def run(self, hooks: Hooks, times: int = 1) -> Any:
        """Call the model on its input, repeated so many times along the batch, and return its output."""
        args, kwargs = self.given if times == 1 else repeated(self.given, times)
        with self.seeded():
            return self.lens.run_with_hooks(*args, hooks=hooks, method=self.settings.method, **kwargs)

    def record(self, points: Any) -> tuple[Any, dict[tuple[str, int], Tensor]]:
        """Run it once, and return the output, and the values at some points by name and step."""
        args, kwargs = self.given
        with self.seeded():
            output, steps = self.lens.record(*args, points=points, method=self.settings.method, **kwargs)
        return output, {(name, int(step)): value for name in steps.names for step, value in steps.items(name)}

    def measure(self, output: Any, times: int = 1) -> Float[Tensor, "row"]:
        """Return the metric of an output of so many times the input.

        Raises ShapeError if it is not one number for each row, or no function.
        """
        if not callable(self.metric):
            raise ShapeError(
                f"The metric is a function of the output, such as analysis.metrics.logit(2), and was given as "
                f"{self.metric!r}."
            )
        found: object = self.metric(output)
        wanted = f"each of the {self.rows * times} rows" if self.one_forward else "each row of the batch"
        if not isinstance(found, Tensor):
            raise ShapeError(f"The metric must give one number for {wanted}; it gave {type(found).__name__}.")
        if found.dim() != 1 or (self.one_forward and len(found) != self.rows * times):
            raise ShapeError(
                f"The metric must give one number for {wanted}; it gave shape {list(found.shape)}."
            )
        return found if found.is_floating_point() else found.float()

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Have the same random numbers in every run, and those outside as they were."""
        for generator, state in self._states:
            generator.set_state(state)
        with seeded(self.settings.seed):
            yield


def rows_of(given: Arguments) -> int:
    """Return how many rows an input has. Raises ShapeError if its tensors do not agree."""
    shapes = [tuple(tensor.shape) for _, tensor in leaves(given)]
    counts = {shape[0] if shape else 0 for shape in shapes}
    if len(counts) != 1 or 0 in counts:
        raise ShapeError(
            f"Every tensor of an input must have the same number of rows, at least one; shapes are {shapes}."
        )
    return counts.pop()


def expect_alike(first: Arguments, second: Arguments) -> None:
    """Refuse two inputs whose tensors differ in shape."""
    shapes = [[tuple(tensor.shape) for _, tensor in leaves(given)] for given in (first, second)]
    if shapes[0] != shapes[1]:
        raise ShapeError(
            f"One input has shapes {shapes[0]} and the other {shapes[1]}. Give inputs of one size."
        )


def repeated(given: Arguments, times: int) -> Arguments:
    """Repeat every tensor of an input along its first dimension."""
    for key, tensor in list(leaves(given)):
        given = replace(given, key, tensor.repeat(times, *[1] * (tensor.dim() - 1)))
    return given


def _generators(given: Arguments) -> list[torch.Generator]:
    args, kwargs = given
    held: list[Any] = []
    for value in (*args, *kwargs.values()):
        held += value if isinstance(value, (list, tuple)) else [value]
    return [one for one in held if isinstance(one, torch.Generator)]
