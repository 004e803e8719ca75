"""What the runs of a sweep have in common: all that comes before the first edit, run once and then answered.

The run without edits is recorded (`running/replay.py`), and again with its input twice in the batch. What a block gave
for one and for two says along which axis its rows lie. Where an edit of the second half of such a batch changes what
the first half gives, the rows of a batch are not each by themselves, and cells go one at a time. Before any answer is
used, a run without edits in which everything is answered that can be must give what the whole run gave: where it does
not, because a block leaves other traces than its output, every forward is run whole.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Size, Tensor, nn

from anylens.analysis.sweeping.cells import Cell
from anylens.analysis.sweeping.content import Content, fitted
from anylens.analysis.sweeping.memory import SHARE, Meter, free_bytes
from anylens.analysis.sweeping.subject import Subject
from anylens.anatomy.points import Point
from anylens.core.errors import RunError, RunMismatchError
from anylens.core.tree import Key, leaves
from anylens.pipelines import PipelineLens
from anylens.running.actions import At
from anylens.running.interventions import select
from anylens.running.replay import Answering, Call, Record, copied, items_of
from anylens.running.step import Step

MOST = 256  # rows of one forward: more are no faster


@dataclass
class Base:
    """The run that is edited, as it is.

    shapes: of the points, by name. moments: when each was reached, by name and step. same: where what is to be put in
    is what is there already, to the bit: an edit of nothing else need not run.
    """

    subject: Subject
    record: Record
    output: Any
    metric: Float[Tensor, "row"]
    shapes: dict[str, Size]
    moments: dict[tuple[str, int], int]
    same: dict[tuple[str, int], Bool[Tensor, "..."]]

    @property
    def steps(self) -> int:
        """How many steps the points were reached in."""
        return len({step for _, step in self.moments})

    def until(self, cells: Iterable[Cell]) -> int:
        """Return the moment before which nothing is edited in any of some cells."""
        wanted = list(cells)
        return min(
            moment
            for (name, step), moment in self.moments.items()
            if any(name in cell.at(step) for cell in wanted)
        )

    def idle(self, cell: Cell, points: Mapping[str, Point]) -> bool:
        """Whether a cell puts in nothing but what is there."""
        for (name, step), same in self.same.items():
            point = points[name]
            where = cell.at(step).get(name)
            if where is None:
                continue
            if not same[select(where, same, At(name, point.axes, point.layer, Step(step)))].all():
                return False
        return True


@dataclass
class Prefix:
    """How the cells of a sweep share their work.

    several: whether several cells may go into one forward. axes: by call of the record and key of a tensor in its
    output, the axis of the batch; what is not listed is not answered. weight: bytes that a cell needs in a forward.
    answered: calls that did not run.
    """

    base: Base
    several: bool = False
    axes: dict[int, dict[Key, int | None]] = field(default_factory=dict)
    weight: int = 0
    answered: int = 0

    @contextmanager
    def answering(self, cells: list[Cell] | None, times: int) -> Iterator[None]:
        """Answer, while some code runs, the calls that had ended before any of the cells is edited.

        Without cells nothing is edited: the latest moment is taken at which something could be.
        """
        until = max(self.base.moments.values()) if cells is None else self.base.until(cells)

        def answer(call: Call) -> Any:
            axes = self.axes[id(call)]
            return copied(call.output, lambda key, tensor: _repeated(tensor, axes[key], times))

        with Answering(self.base.record, until, answer).under_way() as answers:
            yield
        self.answered += answers.answered

    @property
    def cells(self) -> int:
        """How many cells go into one forward."""
        subject = self.base.subject
        if not self.several:
            return 1
        most = MOST if subject.settings.rows is None else subject.settings.rows
        fit = free_bytes(subject.device) * SHARE // max(1, self.weight)
        return int(max(1, min(most // subject.rows, fit if subject.settings.rows is None else most)))


def base_of(subject: Subject, points: Iterable[str], content: Content) -> Base:
    """Run the model once without edits and note when it reaches the points, what its blocks give, and what is the same.

    Raises ShapeError if the content does not fit.
    """
    points = list(points)
    record = Record(_units(subject, points))
    shapes: dict[str, Size] = {}
    moments: dict[tuple[str, int], int] = {}
    same: dict[tuple[str, int], Tensor] = {}

    def note(value: Tensor, at: At) -> None:
        shapes.setdefault(at.name, value.shape)
        moments.setdefault((at.name, int(at.step)), record.mark())
        with suppress(RunError):  # a step that the content does not have
            same[at.name, int(at.step)] = value == fitted(content(at.name, int(at.step)), value, at.name)

    with record.recording():
        output = subject.run(dict.fromkeys(points, note))
    return Base(subject, record, output, subject.measure(output), shapes, moments, same)


def prefix_of(base: Base, *, batched: bool) -> Prefix:
    """Find out what the cells of a sweep can share; `batched` says that the points have their rows in the batch."""
    found = Prefix(base)
    if base.subject.one_forward and batched:
        _probe(found)
    else:
        found.axes = {id(call): dict.fromkeys(key for key, _ in leaves(call.output)) for call in _kept(base)}
    for call in base.record.calls:
        call.kept = call.kept and id(call) in found.axes
    if not _same_when_answered(found):
        _forget(base.record)
    return found


def _units(subject: Subject, points: Iterable[str]) -> list[nn.Module]:
    """Return the modules whose calls may be answered: blocks, or in a pipeline whole models.

    A method of a model may keep things between its calls of the blocks, so that there nothing is answered. A point in a
    module that is called several times is known by the number of the call, which calls that are not run would shift:
    there only the blocks that do not hold it are answered.
    """
    if not subject.settings.resume:
        return []
    if isinstance(subject.lens, PipelineLens):
        return [part.model for part in subject.lens.parts.values()]
    if not subject.one_forward:
        return []
    model: nn.Module = subject.lens.model
    taps = (subject.lens.points[name].tap for name in points)
    counted = {id(model.get_submodule(tap.path)) for tap in taps if tap.calls > 1}
    return [
        item for item in items_of(model) if not any(id(m) in counted for m in item.modules() if m is not item)
    ]


def _kept(base: Base) -> list[Call]:
    return [call for call in base.record.calls if call.kept]


def _forget(record: Record) -> None:
    for call in record.calls:
        call.output, call.kept = None, False


def _probe(prefix: Prefix) -> None:
    """Run the input twice over in one batch, and see what that does to the output of the model and of each call."""
    base, again = prefix.base, Record(prefix.base.record.modules.values())

    doubled: list[bool] = []

    def mark(value: Tensor, at: At) -> None:
        again.mark()
        doubled.append(value.shape == _doubled(base.shapes[at.name], 0))

    with Meter() as meter, again.recording():
        output = base.subject.run(dict.fromkeys(base.shapes, mark), times=2)
    metric = base.subject.measure(output, times=2)
    prefix.several = all(doubled) and near(metric, base.metric.repeat(2)) and _apart(prefix)
    prefix.weight = meter.peak // 2
    if not prefix.several or len(again.calls) != len(base.record.calls):
        return
    for one, two in zip(base.record.calls, again.calls, strict=True):
        axes = _batch_axes(one, two)
        if axes is not None:
            prefix.axes[id(one)] = axes


def _apart(prefix: Prefix) -> bool:
    """Whether what is done to the second half of a batch leaves what the first half gives as it was."""
    base = prefix.base

    def disturb(value: Tensor, at: At) -> Tensor:
        value[len(value) // 2 :] = value[len(value) // 2 :].flip(-1) + 1
        return value

    output = base.subject.run(dict.fromkeys(base.shapes, disturb), times=2)
    return near(base.subject.measure(output, times=2)[: len(base.metric)], base.metric)


def _batch_axes(one: Call, two: Call) -> dict[Key, int | None] | None:
    """Return the axis of the batch of each tensor that a call gave, from what it gave for two; None where not clear."""
    if one.module is not two.module or not (one.kept and two.kept):
        return None
    pairs = list(zip(leaves(one.output), leaves(two.output), strict=False))
    found: dict[Key, int | None] = {}
    for (key, single), (_, double) in pairs:
        axes = [n for n, size in enumerate(single.shape) if double.shape == _doubled(single.shape, n)]
        if double.shape == single.shape:
            axes = [-1]
        axis = next((n for n in axes if near(double, _repeated(single, n if n >= 0 else None, 2))), None)
        if axis is None:
            return None
        found[key] = axis if axis >= 0 else None
    return found


def _doubled(shape: Size, axis: int) -> tuple[int, ...]:
    return tuple(2 * size if n == axis else size for n, size in enumerate(shape))


def _repeated(tensor: Tensor, axis: int | None, times: int) -> Tensor:
    if axis is None or times == 1:
        return tensor.clone()
    return tensor.repeat(*[times if n == axis else 1 for n in range(tensor.dim())])


def _same_when_answered(prefix: Prefix) -> bool:
    """Whether a run in which all is answered that can be gives what the whole run gave."""
    base = prefix.base
    if not any(call.kept for call in base.record.calls):
        return True
    times = 2 if prefix.several else 1
    try:
        with prefix.answering(None, times):
            output = base.subject.run({}, times=times)
    except RunMismatchError:
        return False
    prefix.answered = 0
    rows = [base.subject.measure(output, times), base.metric.repeat(times)]
    return near(*rows) and (times > 1 or _alike(output, base.output))


def _alike(one: Any, two: Any) -> bool:
    pairs = list(zip(leaves(one), leaves(two), strict=False))
    return all(first.shape == second.shape and near(first, second) for (_, first), (_, second) in pairs)


def near(one: Tensor, two: Tensor) -> bool:
    """Whether two tensors are the same but for rounding: within the square root of the dtype's precision."""
    if not one.is_floating_point():
        return torch.equal(one, two)
    scale = float(two[two.isfinite()].abs().max()) if two.isfinite().any() else 0.0
    room = torch.finfo(one.dtype).eps ** 0.5 * scale
    return bool(torch.isclose(one, two, rtol=0, atol=room, equal_nan=True).all())
