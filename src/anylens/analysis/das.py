"""Distributed alignment search: find the directions that hold one thing, by training what to exchange between runs.

Where a thing of the second input is put in the place of the first's, within a few directions at one place, the model
should say about the first input what would be true with that thing. The directions are trained until it does, and
judged on pairs that they were not trained on.

Source: Geiger et al. 2023, "Finding alignments between interpretable causal variables and distributed neural
representations", https://arxiv.org/abs/2303.02536
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import orthogonal

from anylens.analysis.sweeping.subject import rows_of
from anylens.anatomy.points import Point
from anylens.core.axes import feature_axis
from anylens.core.errors import AxisError, ShapeError
from anylens.core.tree import leaves, replace
from anylens.lens import Lens
from anylens.running.actions import At
from anylens.running.examples import Arguments, as_arguments
from anylens.running.interventions import Index, Intervention, patch_from, select
from anylens.running.step import ONLY

CONTROLS = 5  # random subspaces that the control is the mean of
Answers = Callable[[Any], Float[Tensor, "pair answer"]]


@dataclass(frozen=True)
class Pairs:
    """Pairs of inputs that differ in the thing looked for, and perhaps in much else.

    Attributes:
        base, source: inputs as the model takes them, n rows each.
        labels: the number of the answer that is right about each base with the source's thing in it.
    """

    base: Any
    source: Any
    labels: Int[Tensor, "pair"]

    def __post_init__(self) -> None:
        counts = [rows_of(as_arguments(one)) for one in (self.base, self.source)]
        if {*counts} != {len(self.labels)}:
            raise ShapeError(
                f"There are {counts[0]} bases, {counts[1]} sources and {len(self.labels)} labels: give as many of each."
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Search:
    """How directions are looked for.

    Attributes:
        size: how many directions.
        where: the part of the point that is exchanged, as for `Intervention.on`: `{"pos": 0}`.
        steps, rate, batch: of training with Adam; `batch` is also the most pairs that one forward has.
        seed: of the first directions, the order of pairs and the control.
    """

    size: int = 1
    where: Mapping[str, Index] = field(default_factory=dict)
    steps: int = 200
    rate: float = 0.02
    batch: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch < 1 or self.steps < 0:
            raise ShapeError(
                f"A search has a batch of at least 1 and 0 steps or more; {self.batch} and {self.steps} were given."
            )


PLAIN = Search()


@dataclass(frozen=True, eq=False)
class Alignment:
    """The directions found, and how far exchanging what lies along them exchanges the thing.

    Attributes:
        point, where: the place.
        directions: orthogonal to each other, each as long as sources and bases typically differ along it.
        accuracy: on held-out pairs, the share of answers that are right once the exchange was made.
        control: the same with random directions, as many.
        whole: the same with the whole place exchanged. unedited: with nothing exchanged.
    """

    point: str
    where: Mapping[str, Index]
    directions: Float[Tensor, "direction d_model"]
    accuracy: float
    control: float
    whole: float
    unedited: float

    def patch(self, cache: Mapping[str, Tensor] | Tensor) -> Intervention:
        """Return what puts another run's value in place, along the directions only."""
        return patch_from(cache, along=self.directions).on(**self.where)

    def __str__(self) -> str:
        return (
            f"{len(self.directions)} directions of {self.point}: interchange accuracy {self.accuracy:.3f}, "
            f"random {self.control:.3f}, whole {self.whole:.3f}, unedited {self.unedited:.3f}"
        )


def das(
    lens: Lens, pairs: Pairs, held_out: Pairs, *, point: str, answers: Answers, search: Search = PLAIN
) -> Alignment:
    """Find the directions at a point that hold a thing, and measure them on other pairs.

    (Geiger et al. 2023, https://arxiv.org/abs/2303.02536.)

    Args:
        lens: the lens. Its model's weights are not trained, and their gradients are left alone.
        pairs: what the directions are trained on.
        held_out: pairs for the accuracies; best of inputs that are in none of `pairs`.
        point: where, by its name or a glob that only one point matches; its first axis is the batch.
        answers: from the model's output to a number for each possible answer, such as `lambda output: output.logits`.
        search: how many directions, in which part of the point, and the training.

    Raises:
        AxisError: the point has no batch, or several points match.
        ShapeError: more directions are wanted than the point has features, or the answers do not fit the labels.

    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))
    >>> lens, inputs = anylens.attach(model, torch.randn(2, 4)), torch.randn(4, 64, 4)
    >>> with torch.no_grad():
    ...     labels = [model(source).argmax(-1) for source in inputs[1::2]]
    >>> pairs, held_out = Pairs(inputs[0], inputs[1], labels[0]), Pairs(inputs[2], inputs[3], labels[1])
    >>> found = das(lens, pairs, held_out, point="0.hook_out", answers=lambda output: output)
    >>> found.accuracy > found.control  # the answer hangs on one direction of four
    True
    """
    place = _only(lens.points.select(point))
    values = _values(lens, pairs.source, place, search)
    width = values.shape[feature_axis(place.axes)]
    if not 0 < search.size <= width:
        raise ShapeError(f"{search.size} directions were asked for; {place.name} has {width} features.")
    exchange = _Exchange(lens, place, answers, search)
    basis = exchange.trained(pairs, values, width)
    held = _values(lens, held_out.source, place, search)
    random = torch.Generator().manual_seed(search.seed)
    controls = [torch.randn(search.size, width, generator=random).to(basis) for _ in range(CONTROLS)]
    return Alignment(
        place.name,
        search.where,
        _lengthened(basis, values - _values(lens, pairs.base, place, search), place, search),
        accuracy=exchange.accuracy(held_out, held, basis),
        control=sum(exchange.accuracy(held_out, held, one) for one in controls) / CONTROLS,
        whole=exchange.accuracy(held_out, held, torch.eye(width).to(basis)),
        unedited=exchange.accuracy(held_out, held, None),
    )


@dataclass(frozen=True)
class _Exchange:
    """Runs bases with what lies along some directions taken from their sources."""

    lens: Lens
    point: Point
    answers: Answers
    search: Search

    def run(self, pairs: Pairs, values: Tensor, which: Tensor, along: Tensor | None) -> Tensor:
        """Return the answers of some pairs `[pair, answer]`; `values` are those of all sources."""
        args, kwargs = some_rows(as_arguments(pairs.base), which)
        hooks = {}
        if along is not None:
            taken = values[which.to(values.device)]
            hooks = {self.point.name: patch_from(taken, along=along).on(**self.search.where)}
        said = self.answers(self.lens.run_with_hooks(*args, hooks=hooks, **kwargs))
        least, most = int(pairs.labels.min()), int(pairs.labels.max())
        if said.ndim != 2 or len(said) != len(which) or least < 0 or most >= said.shape[1]:
            raise ShapeError(
                f"answers must give [pair, answer] for {len(which)} pairs, with answers {least} to {most} among them, "
                f"and gave {list(said.shape)}."
            )
        return said

    def trained(self, pairs: Pairs, values: Tensor, width: int) -> Tensor:
        """Return an orthonormal basis `[direction, d_model]`, trained so that the answers come out right."""
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(self.search.seed)
            rotation = nn.Linear(width, self.search.size, bias=False, device=values.device)
            orthogonal(rotation)
            weights = list(rotation.parameters())
            adam = torch.optim.Adam(weights, lr=self.search.rate)
            for _ in range(self.search.steps):
                which = torch.randperm(len(pairs))[: self.search.batch]
                said = self.run(pairs, values, which, rotation.weight)
                loss = functional.cross_entropy(said.float(), pairs.labels[which].to(said.device))
                for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                    weight.grad = gradient
                adam.step()
        basis: Tensor = rotation.weight.detach()
        return basis

    @torch.no_grad()
    def accuracy(self, pairs: Pairs, values: Tensor, along: Tensor | None) -> float:
        """Return the share of pairs whose answer is right."""
        right = 0
        for which in torch.arange(len(pairs)).split(self.search.batch):
            said = self.run(pairs, values, which, along).argmax(-1)
            right += int((said.cpu() == pairs.labels[which].cpu()).sum())
        return right / len(pairs)


def some_rows(given: Arguments, which: Int[Tensor, "row"]) -> Arguments:
    """Return an input with only some rows of each of its tensors."""
    for key, tensor in list(leaves(given)):
        given = replace(given, key, tensor[which.to(tensor.device)])
    return given


def _values(lens: Lens, inputs: Any, point: Point, search: Search) -> Tensor:
    """Return what a point has in every row of an input."""
    given, found = as_arguments(inputs), []
    for which in torch.arange(rows_of(given)).split(search.batch):
        args, kwargs = some_rows(given, which)
        with torch.no_grad():
            _, cache = lens.run_with_cache(*args, points=point.name, stop_early=True, **kwargs)
        found.append(cache[point.name])
    return torch.cat(found)


def _lengthened(basis: Tensor, differences: Tensor, point: Point, search: Search) -> Tensor:
    """Give each direction the length of the root mean square of differences along it, in the part exchanged."""
    part = differences[select(search.where, differences, At(point.name, point.axes, point.layer, ONLY))]
    along = part.movedim(feature_axis(point.axes), -1) @ basis.T
    lengths = along.flatten(0, -2).square().mean(0).sqrt()
    return basis * torch.where(lengths > 0, lengths, 1)[:, None]


def _only(points: tuple[Point, ...]) -> Point:
    """Return the point of a search. Raises AxisError for several, or for one without a batch."""
    if len(points) != 1:
        raise AxisError(
            f"A search is at one point, and {', '.join(one.name for one in points[:3])}, ... were given."
        )
    (point,) = points
    if point.axes[:1] != ("batch",):
        raise AxisError(f"{point.name} has axes {' '.join(point.axes)}: the first must be batch.")
    return point
