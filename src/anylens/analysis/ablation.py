"""Ablation: take away what a place carries, one place at a time, and see what the answer loses.

What stands in its stead is a value: zero, the mean over other inputs, or what another input had there (resample
ablation). Wang et al. 2022, "Interpretability in the Wild", https://arxiv.org/abs/2211.00593 (mean); Chan et al. 2022,
"Causal Scrubbing", https://www.alignmentforum.org/posts/JvZhhzycHu2Yd57RN (resample).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from anylens.analysis.grid import Grid
from anylens.analysis.sweeping.cells import Over
from anylens.analysis.sweeping.content import Content, kept
from anylens.analysis.sweeping.subject import DEFAULT, Metric, Settings, Subject
from anylens.analysis.sweeping.sweep import How, Task, sweep
from anylens.anatomy.points import Point
from anylens.core.errors import AxisError, EditError
from anylens.lens import Lens

Filling = Callable[[Subject, Sequence[Point]], Content]
"""What is put in the place of what is ablated: from the run that is edited and its points to the content."""


def ablation_sweep(
    lens: Lens,
    inputs: Any,
    *,
    points: str | Iterable[str],
    metric: Metric,
    over: Over = "pos",
    to: Filling | None = None,
    settings: Settings = DEFAULT,
) -> Grid:
    """Ablate one place at a time; `effect` says how far each moves the metric.

    (Wang et al. 2022, https://arxiv.org/abs/2211.00593, for means; zeros as in Olsson et al. 2022,
    https://arxiv.org/abs/2209.11895.)

    Args:
        lens, inputs, points, metric, over, settings: as for `patching_sweep`.
        to: what is put in the place: zeros, `mean_of(others)` or `resampled(others)`.

    Raises:
        AxisError: a point lacks the axis or the position.
        ShapeError: the metric does not give one number for each row, or what is put in has another size.

    >>> import anylens
    >>> from anylens.analysis.metrics import logit_difference
    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> kings = lens.processor("today the kings near the queen", return_tensors="pt")
    >>> metric = logit_difference(*lens.processor.convert_tokens_to_ids(["praise", "praises"]))
    >>> ablation_sweep(lens, kings, points="blocks.*.attn.hook_z", metric=metric, over="head").strongest()
    [{'layer': 1, 'head': 1}]
    """
    task = Task.of(lens, inputs, points, metric, How(over, settings))
    with torch.no_grad():
        if to is not None and not callable(to):
            raise EditError(
                f"to is None for zeros, mean_of(others) or resampled(others), and was given as {to!r}."
            )
        content = _zero if to is None else to(task.subject, task.points)
        return sweep(task, content)


def mean_of(inputs: Any, *, over: str = "batch") -> Filling:
    """Return a filling: the mean that each point has on other inputs, over some of its axes, such as `"batch pos"`.

    Where a sweep is run with it, it raises AxisError for an axis that a point does not have, or none, and ShapeError
    where the means do not fit: over the batch alone, give inputs of the same length.

    (Wang et al. 2022, https://arxiv.org/abs/2211.00593.)

    >>> import anylens
    >>> from anylens.analysis.metrics import logit
    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> kings, queen = (lens.processor(text, return_tensors="pt") for text in ("the kings near", "a queen"))
    >>> what = {"points": "blocks.*.attn.hook_z", "metric": logit(5), "over": "head"}
    >>> ablation_sweep(lens, kings, to=mean_of(queen, over="batch pos"), **what).values.shape  # row, layer, head
    torch.Size([1, 3, 4])
    """

    def filling(subject: Subject, points: Sequence[Point]) -> Content:
        if not over.split():
            raise AxisError(
                "mean_of needs the axes that the mean is over, such as 'batch', and was given none."
            )
        axes = {point.name: [_axis(point, axis) for axis in over.split()] for point in points}
        _, found = _other(subject, inputs).record(list(axes))
        return kept({key: value.mean(axes[key[0]], keepdim=True) for key, value in found.items()})

    return filling


def resampled(inputs: Any, *, seed: int = 0) -> Filling:
    """Return a filling: what each point has on other inputs, for each row of the batch on one drawn at random.

    All points of a row are filled from the same input. Where a sweep is run with it, it raises ShapeError for inputs
    of another size than those that are edited.

    (Chan et al. 2022, https://www.alignmentforum.org/posts/JvZhhzycHu2Yd57RN.)

    >>> import anylens
    >>> from anylens.analysis.metrics import logit
    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> kings, others = (lens.processor(text, return_tensors="pt") for text in (["the kings"], ["a queen", "the duke"]))
    >>> what = {"points": "blocks.*.attn.hook_z", "metric": logit(5), "over": "head"}
    >>> ablation_sweep(lens, kings, to=resampled(others), **what).values.shape  # row, layer, head
    torch.Size([1, 3, 4])
    """

    def filling(subject: Subject, points: Sequence[Point]) -> Content:
        rows: dict[int, Tensor] = {}
        _, found = _other(subject, inputs).record([point.name for point in points])
        wanted = subject.rows if subject.one_forward else None

        def drawn(value: Tensor) -> Tensor:
            generator = torch.Generator().manual_seed(seed)
            count = wanted or len(value)
            index = rows.setdefault(len(value), torch.randint(len(value), (count,), generator=generator))
            return value[index.to(value.device)]

        return kept({key: drawn(value) for key, value in found.items()})

    return filling


def _zero(name: str, step: int) -> Tensor:
    return torch.zeros(())


def _other(subject: Subject, inputs: Any) -> Subject:
    return Subject(subject.lens, inputs, subject.metric, replace(subject.settings))


def _axis(point: Point, axis: str) -> int:
    if axis not in point.axes:
        raise AxisError(f"{point.name} has axes {' '.join(point.axes)}, so there is no mean over {axis!r}.")
    return point.axes.index(axis)
