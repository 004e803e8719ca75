"""Attribution: what patching would do, estimated from gradients.

Attribution patching takes one backward pass for a whole sweep: to first order a patch moves the metric by the
gradient times the difference of the two runs (Nanda 2023, "Attribution Patching",
https://www.neelnanda.io/mechanistic-interpretability/attribution-patching; Syed et al. 2023,
https://arxiv.org/abs/2310.10348). Integrated gradients go the whole way in small steps, so that what the cells get adds
up to what patching all of them does (Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365). How far an estimate
is to be trusted is said by `agreement` with true patching.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anylens.analysis.grid import Grid
from anylens.analysis.sweeping.cells import Over, cells_of
from anylens.analysis.sweeping.subject import DEFAULT, Metric, Settings, Subject, expect_alike
from anylens.analysis.sweeping.sweep import How, Task
from anylens.anatomy.points import Point
from anylens.core.errors import RunError, ShapeError
from anylens.lens import Lens
from anylens.running.actions import At
from anylens.running.interventions import select
from anylens.running.step import ONLY


@dataclass(frozen=True)
class Agreement:
    """How well an estimate says what patching does.

    correlation: Pearson's, between the effects of all cells and rows. signs: the share of cells whose effect has the
    right sign, among those whose true effect is at least a hundredth of the largest.
    """

    correlation: float
    signs: float


def attribution_patching(
    lens: Lens,
    inputs: Any,
    *,
    source: Any,
    points: str | Iterable[str],
    metric: Metric,
    over: Over = "pos",
    settings: Settings = DEFAULT,
) -> Grid:
    """Estimate a patching sweep from one backward pass; the arguments are those of `patching_sweep`.

    (Nanda 2023, https://www.neelnanda.io/mechanistic-interpretability/attribution-patching.)

    Raises:
        AxisError: a point lacks the axis or the position.
        ShapeError: the inputs differ in size, or the metric does not give one number for each row.
        RunError: the metric has no gradient, or the run is not one forward.

    >>> import anylens
    >>> from anylens.analysis.metrics import logit_difference
    >>> from anylens.analysis.patching import patching_sweep
    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> king, kings = (lens.processor(f"today the {who}", return_tensors="pt") for who in ("king", "kings"))
    >>> metric = logit_difference(*lens.processor.convert_tokens_to_ids(["praises", "praise"]))
    >>> what = dict(source=king, points="blocks.*.attn.hook_z", metric=metric, over="pos head")
    >>> estimate, truth = attribution_patching(lens, kings, **what), patching_sweep(lens, kings, **what)
    >>> agreement(estimate, truth).correlation > 0.5
    True
    """
    pair = _Pair.of(Task.of(lens, inputs, points, metric, How(over, settings)), source)
    output, cache = pair.run_with_graph()
    with torch.enable_grad():
        base = pair.subject.measure(output)
        gradients = _gradients(base, cache)
    return pair.grid(
        over, base.detach(), {name: gradients[name] * pair.difference(name) for name in pair.names}
    )


def integrated_gradients(
    lens: Lens,
    inputs: Any,
    *,
    source: Any,
    points: str | Iterable[str],
    metric: Metric,
    over: Over = "pos",
    steps: int = 16,
) -> Grid:
    """Attribute what patching a whole point does to its parts, by the gradients on the straight way between two runs.

    The effects of cells that together hold all of a point add up to the effect of patching it whole. Each point is
    taken by itself; the nodes on the way are those of Gauss and Legendre. (Sundararajan et al. 2017,
    https://arxiv.org/abs/1703.01365.)

    Args:
        lens, inputs, source, points, metric, over: as for `patching_sweep`.
        steps: how many gradients are taken on the way; they go into one forward.

    Raises as `attribution_patching` does.

    >>> import anylens
    >>> from anylens.analysis.metrics import logit_difference
    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> king, kings = (lens.processor(f"today the {who}", return_tensors="pt") for who in ("king", "kings"))
    >>> metric = logit_difference(*lens.processor.convert_tokens_to_ids(["praises", "praise"]))
    >>> grid = integrated_gradients(lens, kings, source=king, points="hook_embed", metric=metric)
    >>> bool((grid.effect.sum() - (grid.source - grid.base)).abs() < 1e-2)
    True
    """
    if steps < 1:
        raise ShapeError(f"steps is how many gradients are taken, at least one, and was given {steps}.")
    pair = _Pair.of(Task.of(lens, inputs, points, metric, How(over, DEFAULT)), source)
    parts = {name: pair.mean_gradient(name, steps) * pair.difference(name) for name in pair.names}
    return pair.grid(over, pair.base, parts)


def agreement(estimate: Grid, truth: Grid) -> Agreement:
    """Compare an estimate with true patching, cell by cell.

    (Syed et al. 2023, https://arxiv.org/abs/2310.10348, compare them so.) Raises ShapeError for grids over different
    cells.

    >>> from anylens.analysis.grid import Grid
    >>> truth, estimate = (
    ...     Grid(torch.tensor([found]), ("row", "pos"), {"row": (0,), "pos": (0, 1, 2)}, torch.zeros(1))
    ...     for found in ([1.0, -2.0, 3.0], [2.0, -4.0, 6.0])
    ... )
    >>> agreement(estimate, truth).signs, round(agreement(estimate, truth).correlation, 6)
    (1.0, 1.0)
    """
    if (estimate.axes, dict(estimate.coordinates)) != (truth.axes, dict(truth.coordinates)):
        raise ShapeError(f"The grids differ in their cells: {estimate.coordinates} and {truth.coordinates}.")
    guessed, true = estimate.effect.flatten().double(), truth.effect.flatten().double()
    counted = true.abs() >= true.abs().max() / 100
    return Agreement(
        float(torch.corrcoef(torch.stack([guessed, true]))[0, 1]),
        float((guessed.sign() == true.sign())[counted].double().mean()),
    )


@dataclass(frozen=True)
class _Pair:
    """Two runs: the one that gradients are taken in, and the one that would be patched from."""

    subject: Subject
    points: tuple[Point, ...]
    values: Mapping[str, Tensor]
    others: Mapping[str, Tensor]
    base: Tensor
    source: Tensor

    @classmethod
    def of(cls, task: Task, source: Any) -> "_Pair":
        subject = task.subject
        if not subject.one_forward:
            raise RunError(
                "Gradients are taken in one forward: a pipeline or a method has several. Use patching_sweep."
            )
        other = Subject(subject.lens, source, subject.metric, subject.settings)
        expect_alike(subject.given, other.given)
        found = []
        with torch.no_grad():
            for one in (subject, other):
                args, kwargs = one.given
                with one.seeded():
                    output, cache = subject.lens.run_with_cache(
                        *args, points=[point.name for point in task.points], **kwargs
                    )
                found.append((cache, one.measure(output)))
        (values, base), (others, end) = found
        return cls(subject, task.points, values, others, base, end)

    @property
    def names(self) -> list[str]:
        return [point.name for point in self.points]

    def difference(self, name: str) -> Tensor:
        return self.others[name] - self.values[name]

    def run_with_graph(self) -> tuple[Any, Mapping[str, Tensor]]:
        args, kwargs = self.subject.given
        with self.subject.seeded():
            return self.subject.lens.run_with_cache(*args, points=self.names, grad=True, **kwargs)

    def mean_gradient(self, name: str, steps: int) -> Tensor:
        """Return the mean of the gradient at a point on the straight way from its value to that of the other run."""
        nodes, weights = (torch.as_tensor(some) for some in np.polynomial.legendre.leggauss(steps))
        value, gap = self.values[name], self.difference(name)
        shares = ((nodes + 1) / 2).to(value).reshape(-1, *[1] * value.dim())
        way = (value + shares * gap).flatten(0, 1).requires_grad_()

        def put(_: Tensor, at: At) -> Tensor:
            return way

        with torch.enable_grad():
            metric = self.subject.measure(self.subject.run({name: put}, times=steps), times=steps)
            gradient = _gradients(metric, {name: way})[name]
        along = (weights / 2).to(gradient).reshape(-1, *[1] * value.dim())
        return torch.sum(gradient.unflatten(0, (steps, -1)) * along, 0)

    def grid(self, over: Over, base: Tensor, parts: Mapping[str, Tensor]) -> Grid:
        """Add up the parts of each cell, and say where that would take the metric."""
        cells = cells_of(self.points, {name: value.shape for name, value in parts.items()}, 1, over)
        at = {point.name: At(point.name, point.axes, point.layer, ONLY) for point in self.points}
        sums = []
        for cell in cells.cells:
            chosen = [
                parts[name][select(where, parts[name], at[name])].flatten(1).sum(1)
                for name, where in cell.parts.items()
            ]
            sums.append(torch.stack(chosen).sum(0))
        return cells.grid(torch.stack(sums) + base, base, self.source)


def _gradients(metric: Float[Tensor, "row"], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not metric.requires_grad:
        raise RunError(
            "The metric has no gradient: it does not depend smoothly on the points. Use patching_sweep."
        )
    found = torch.autograd.grad(metric.sum(), list(values.values()), materialize_grads=True)
    return dict(zip(values, found, strict=True))
