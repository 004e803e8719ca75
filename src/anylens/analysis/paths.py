"""Path patching: what goes from some senders to some receivers by the direct way, with all between left as it was.

Three runs: the senders get what the source has while all else that writes to the stream is frozen to the run that is
edited, which shows what the receivers would then take in; that is put into the receivers of an otherwise free run.
Wang et al. 2022, "Interpretability in the Wild", https://arxiv.org/abs/2211.00593; Goldowsky-Dill et al. 2023,
"Localizing Model Behavior with Path Patching", https://arxiv.org/abs/2304.05969.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anylens.analysis.grid import Grid
from anylens.analysis.sweeping.cells import Cell, Cells, Over, cells_of
from anylens.analysis.sweeping.content import Content, kept
from anylens.analysis.sweeping.prefix import Base, Prefix, base_of, prefix_of
from anylens.analysis.sweeping.subject import DEFAULT, Metric, Settings, Subject, expect_alike
from anylens.analysis.sweeping.sweep import measured, put
from anylens.anatomy.points import Point
from anylens.core.errors import EditError, PointError, RunError
from anylens.lens import Lens
from anylens.running.actions import At
from anylens.running.interventions import Index

WRITES = ("*blocks.*attn.hook_z", "*blocks.*hook_mlp_out")  # what heads and MLPs give to the stream
Places = Mapping[str, Mapping[str, Index]]
Ends = str | Iterable[str] | Places


@dataclass(frozen=True)
class Paths:
    """From where to where.

    senders: names or globs, swept over as `over` says; or a mapping from names to where on their axes, all of which
    send together. receivers: names or globs, or such a mapping. over: as for `patching_sweep`. frozen: what is kept as
    it was on the way; None for all heads and MLPs. With the heads alone, paths may lead through MLPs.
    """

    senders: Ends
    receivers: Ends
    over: Over = ""
    frozen: str | Iterable[str] | None = None


def path_patching(
    lens: Lens, inputs: Any, *, source: Any, paths: Paths, metric: Metric, settings: Settings = DEFAULT
) -> Grid:
    """Patch the direct paths from senders to receivers, one place of the senders at a time.

    (Wang et al. 2022, https://arxiv.org/abs/2211.00593.)

    Args:
        lens, inputs, source, metric, settings: as for `patching_sweep`.
        paths: the senders, the receivers, and what is frozen.

    Returns:
        The metric for each place that sends, as from `patching_sweep`.

    Raises:
        AxisError: a point lacks the axis or the position.
        EditError: no sender comes before a receiver, or `paths` are no Paths.
        RunError: the run is not one forward.

    >>> import anylens
    >>> from anylens.analysis.metrics import logit_difference
    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> king, kings = (
    ...     lens.processor(f"today the {who} near the queen", return_tensors="pt") for who in ("king", "kings")
    ... )
    >>> metric = logit_difference(*lens.processor.convert_tokens_to_ids(["praises", "praise"]))
    >>> paths = Paths("blocks.0.hook_mlp_out", {"blocks.1.attn.hook_v": {"head": 1}}, over="pos")
    >>> path_patching(lens, kings, source=king, paths=paths, metric=metric).strongest()
    [{'layer': 0, 'pos': 3}]
    """
    if not isinstance(paths, Paths):
        raise EditError(
            f"paths are Paths(senders, receivers), from analysis.paths, and were given as {paths!r}."
        )
    subject = Subject(lens, inputs, metric, settings)
    if not subject.one_forward:
        raise RunError(
            "Paths are patched in one forward: a pipeline or a method has several. Use patching_sweep."
        )
    lens._know(subject.given, None)
    other = Subject(lens, source, metric, settings)
    expect_alike(subject.given, other.given)
    with torch.no_grad():
        return _Patched.of(subject, other, paths).grid()


@dataclass(frozen=True)
class _Patched:
    """Everything that the runs of path patching share."""

    prefix: Prefix
    cells: Cells
    receivers: Places
    frozen: Mapping[str, Tensor]  # of the run that is edited
    content: Content
    source: Tensor

    @classmethod
    def of(cls, subject: Subject, other: Subject, paths: Paths) -> "_Patched":
        points = subject.lens.points
        senders, receivers = _ends(subject.lens, paths.senders), _ends(subject.lens, paths.receivers)
        frozen = [point.name for point in _frozen(subject.lens, paths.frozen)]
        output, sent = other.record(list(senders))
        base = base_of(subject, dict.fromkeys([*senders, *receivers, *frozen]), kept(sent))
        chosen = tuple(points[name] for name in senders)
        cells = (
            _together(senders) if isinstance(paths.senders, Mapping) else _laid_out(chosen, base, paths.over)
        )
        batched = all(points[name].axes[:1] == ("batch",) for name in base.shapes)
        kept_as = {name: value for (name, _), value in subject.record(frozen)[1].items()} if frozen else {}
        return cls(
            prefix_of(base, batched=batched), cells, receivers, kept_as, kept(sent), other.measure(output)
        )

    def grid(self) -> Grid:
        base = self.prefix.base
        points = {name: base.subject.lens.points[name] for name in base.shapes}
        values = measured(self.prefix, self.cells.cells, points, self.measured)
        return self.cells.grid(values, base.metric, self.source)

    def measured(self, cells: list[Cell]) -> Tensor:
        """Return the metric of some cells, `[cell, row]`, from two forwards."""
        base = self.prefix.base
        sent = base.until(cells)
        behind = {name: where for name, where in self.receivers.items() if base.moments[name, 0] > sent}
        if not behind:
            raise EditError(
                f"None of the receivers {', '.join(self.receivers)} comes after the senders "
                f"{', '.join(dict.fromkeys(name for cell in cells for name in cell.parts))}."
            )
        taken = self._taken(cells, behind)
        put_in = [Cell(behind)]  # every row gets what it took in itself
        hooks = {name: put(put_in, lambda name, step: taken[name]) for name in behind}
        with self.prefix.answering(put_in, len(cells)):
            output = base.subject.run(hooks, times=len(cells))
        return base.subject.measure(output, len(cells)).reshape(len(cells), -1)

    def _taken(self, cells: list[Cell], receivers: Places) -> dict[str, Tensor]:
        """Return what the receivers take in while the senders send and all else stays as it was."""
        base, taken = self.prefix.base, dict[str, Tensor]()
        sent = base.until(cells)
        send = put(cells, self.content)

        def hook(value: Tensor, at: At) -> Tensor:
            if at.name in receivers:
                taken[at.name] = value.clone()
            if at.name in self.frozen:
                value = self.frozen[at.name].repeat(len(cells), *[1] * (value.dim() - 1))
            new = send(value, at)  # into the value itself
            return value if new is None else new

        names = [name for cell in cells for name in cell.parts] + list(receivers) + list(self.frozen)
        wanted = [name for name in dict.fromkeys(names) if base.moments[name, 0] >= sent]
        with self.prefix.answering(cells, len(cells)):
            base.subject.run(dict.fromkeys(wanted, hook), times=len(cells))
        return taken


def _ends(lens: Lens, ends: Ends) -> dict[str, Mapping[str, Index]]:
    if isinstance(ends, Mapping):
        return {point.name: where for name, where in ends.items() for point in lens.points.select(name)}
    return {point.name: {} for point in lens.points.select(ends)}


def _frozen(lens: Lens, asked: str | Iterable[str] | None) -> Iterable[Point]:
    if asked is not None:
        return lens.points.select(asked)
    found: list[Point] = []
    for pattern in WRITES:
        with suppress(PointError):  # a model without heads, or without MLPs
            found += lens.points.find(pattern)
    return found


def _laid_out(points: Sequence[Point], base: Base, over: Over) -> Cells:
    return cells_of(points, base.shapes, 1, over)


def _together(places: Places) -> Cells:
    return Cells((Cell(places),), ("senders",), {"senders": (" ".join(places),)})
