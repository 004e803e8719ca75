"""A sweep: the same edit in many places, one place at a time, and what each does to a metric.

Cells that begin to differ at the same block go through the model together, as rows of one batch, and from that block
on (`prefix.py`). The numbers are those of the plain loop of one whole forward for each cell.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from anylens.analysis.grid import Grid
from anylens.analysis.sweeping.cells import Cell, Over, cells_of
from anylens.analysis.sweeping.content import Content, fitted
from anylens.analysis.sweeping.prefix import Prefix, base_of, prefix_of
from anylens.analysis.sweeping.subject import Metric, Settings, Subject
from anylens.anatomy.points import Point
from anylens.core.errors import PointError
from anylens.core.progress import Progress
from anylens.lens import Lens
from anylens.running.actions import At, Hook
from anylens.running.interventions import select

FEW = 8  # cells of a forward that is too small to be worth a beginning of its own


@dataclass(frozen=True)
class Task:
    """What a sweep is over: the model with its input, the points, the axes, and what each cell is measured by."""

    subject: Subject
    points: tuple[Point, ...]
    over: Over

    @classmethod
    def of(cls, lens: Lens, inputs: Any, points: Any, metric: Metric, how: "How") -> "Task":
        """Make a task of what a user gives. Raises PointError where that has no points."""
        subject = Subject(lens, inputs, metric, how.settings)
        lens._know(subject.given, how.settings.method)
        chosen = tuple(lens.points.select(points))
        if not chosen:
            raise PointError(
                "A sweep edits at least one point, and none was given. lens.points lists the names."
            )
        return cls(subject, chosen, how.over)


@dataclass(frozen=True)
class How:
    """The axes that a sweep goes over, and how it runs."""

    over: Over
    settings: Settings


@torch.no_grad()
def sweep(task: Task, content: Content, source: Tensor | None = None) -> Grid:
    """Put content into one cell at a time, and return the metric of each.

    source: the metric of the run that the content is from, if it is from one.
    """
    base = base_of(task.subject, names_of(task.points), content)
    cells = cells_of(task.points, base.shapes, base.steps, task.over)
    prefix = prefix_of(base, batched=all(point.axes[:1] == ("batch",) for point in task.points))
    points = {point.name: point for point in task.points}
    values = measured(prefix, cells.cells, points, lambda part: _measured(prefix, part, content))
    return cells.grid(values, base.metric, source)


def measured(
    prefix: Prefix,
    cells: Sequence[Cell],
    points: Mapping[str, Point],
    measure: Callable[[list[Cell]], Tensor],
) -> Float[Tensor, "cell row"]:
    """Return the metric of all cells, those that put in nothing new without running them, the others some at a time."""
    values = prefix.base.metric.cpu().repeat(len(cells), 1)
    busy = [number for number, cell in enumerate(cells) if not prefix.base.idle(cell, points)]
    with Progress("sweep", shown=prefix.base.subject.settings.progress) as progress:
        done = 0
        for chunk in chunks([cells[number] for number in busy], prefix):
            numbers = [busy[place] for place in chunk]
            values[numbers] = measure([cells[number] for number in numbers]).to(values)
            done += len(numbers)
            progress.tell(done, done / len(busy))
    return values


def chunks(cells: Sequence[Cell], prefix: Prefix) -> Iterator[list[int]]:
    """Yield the numbers of the cells that go into one forward each: those that begin to differ at the same moment.

    Few that do are joined by the next ones.
    """
    until = [prefix.base.until([cell]) for cell in cells]
    chunk: list[int] = []
    for number in sorted(range(len(cells)), key=until.__getitem__):
        later = chunk and until[number] > until[chunk[0]] and len(chunk) >= FEW
        if later or len(chunk) == prefix.cells:
            yield chunk
            chunk = []
        chunk.append(number)
    if chunk:
        yield chunk


def _measured(prefix: Prefix, cells: list[Cell], content: Content) -> Tensor:
    """Return the metric of some cells, `[cell, row]`, from one forward."""
    subject, rows = prefix.base.subject, len(prefix.base.metric)
    hooks = {name: put(cells, content) for cell in cells for name in cell.parts}
    with prefix.answering(cells, len(cells)):
        output = subject.run(hooks, times=len(cells))
    return subject.measure(output, len(cells)).reshape(len(cells), rows)


def put(cells: Sequence[Cell], content: Content) -> Hook:
    """Return a hook that puts content into each cell's own place, in its own rows of the batch."""

    def hook(value: Tensor, at: At) -> Tensor:
        parts = value.chunk(len(cells)) if len(cells) > 1 else (value,)
        for cell, part in zip(cells, parts, strict=True):
            if (where := cell.at(int(at.step)).get(at.name)) is not None:
                new = fitted(content(at.name, int(at.step)), part, at.name)
                index = select(where, part, at)
                part[index] = new[index]
        return value

    return hook


def names_of(points: Iterable[Point]) -> list[str]:
    """Return the names of points."""
    return [point.name for point in points]
