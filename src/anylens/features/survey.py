"""Survey: one pass over data, in bounded memory, for what is known of every feature of an autoencoder."""

from collections.abc import Iterable, Mapping, Sequence, Sized
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from anylens.anatomy.points import Point
from anylens.core.errors import AxisError, SaeError
from anylens.core.progress import Progress
from anylens.core.seeding import seeded
from anylens.families.layouts import Layout, Place
from anylens.features.effects import effects_of, few
from anylens.features.factors import Factor, factors_of
from anylens.features.kept import NEVER, Grid, Kept
from anylens.features.kinds import Behind, Kind, Scene, kind_of
from anylens.features.known import Sample, Survey
from anylens.features.tally import Tally
from anylens.harvest.job import Job, Ran, samples_of
from anylens.harvest.positions import Positions
from anylens.lens import Lens
from anylens.running.examples import Arguments
from anylens.sae.base import Sae
from anylens.store.rows import Rows

JUDGED = 4096  # rows that features are scored on where the truth is known
STEERED = 8  # samples that features are steered on
NAMES = ("names", "captions", "transcripts", "texts")


@dataclass(frozen=True)
class Wanted:
    """What a survey is to find.

    Attributes:
        strongest, random: examples of each feature.
        effects: how many features are steered with, those that are active most often first.
        seed: of the random examples.
    """

    strongest: int = 8
    random: int = 6
    effects: int = 200
    seed: int = 0


def survey(
    lens: Lens,
    sae: Sae,
    data: Iterable[Any],
    *,
    point: str,
    positions: Positions = "all",
    wanted: Wanted = Wanted(),
    kind: Kind | None = None,
    **how: Any,
) -> Survey:
    """Return what is known of every feature of an autoencoder on some data.

    The data is gone through once. Memory grows with the features and the examples of each, not with the data. Data may
    say more of its inputs than what the model takes: `data.truth(n)` with `names`, `captions` or `texts`, and with a
    sound as `waveform` and `rate`; and `data.labels(n, extent)` with `data.values`, the factors of each position, for
    the scores. `anylens.zoo.feeding.Samples` does, and so does `anylens.features.Folder` but for factors.

    Args:
        lens: the lens.
        sae: the autoencoder.
        data: inputs, each a batch as the model takes it; texts, where the lens has a tokenizer.
        point: the point that the autoencoder was trained on.
        positions: which positions count, as for `anylens.harvest`.
        wanted: how many examples, and how many features are steered with.
        kind: how inputs are shown, if not as the first of `anylens.features.kinds.KINDS` that fits.
        **how: `steps` and `method`, as for `anylens.harvest`.

    Raises SaeError if there are no inputs, ShapeError if the autoencoder takes rows of another width.
    """
    job = Job.of(lens, point, positions=positions, **how)
    if len(job.points) != 1:
        raise SaeError(f"{point} stands for {len(job.points)} points. A survey is of one.")
    watch = _Watch(job, sae, wanted, kind)
    count = len(data) if isinstance(data, Sized) else 0
    with Progress(f"survey {point}") as shown:
        for number, given in enumerate(job.inputs(data)):
            watch.look(data, number, given)
            shown.tell(watch.tally.rows, (number + 1) / count if count else None)
    return watch.found()


def layout_of(lens: Lens, point: str) -> Layout | None:
    """Return the layout of one point's positions, of a pipeline too."""
    parts: Mapping[str, Lens] = getattr(lens, "parts", {})
    for path, part in parts.items():
        if point.startswith(f"{path}."):
            return layout_of(part, point.removeprefix(f"{path}."))
    try:
        return lens.layout.of(point) if lens.layout is not None else None
    except AxisError:  # the point lies in none of the parts that it places
        return None


def behind(data: Any, number: int) -> Behind:
    """Return what data says of an input besides what the model takes."""
    truth = data.truth(number) if hasattr(data, "truth") else None
    names = next((getattr(truth, name) for name in NAMES if hasattr(truth, name)), ())
    return Behind(tuple(names), getattr(truth, "waveform", None), int(getattr(truth, "rate", 0) or 16_000))


@dataclass
class _Judged:
    """Rows that features are scored on: the first so many."""

    acts: list[Tensor] = field(default_factory=list)
    labels: list[dict[str, Tensor]] = field(default_factory=list)
    sample: list[Tensor] = field(default_factory=list)
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rows: int = 0

    def add(self, acts_NF: Tensor, rows: Rows, labels: Mapping[str, Tensor], first: int) -> None:
        """Keep rows with their labels, `[sample, *extent]` each or `[sample]`."""
        if self.rows >= JUDGED or not labels:
            return
        kept = slice(0, JUDGED - self.rows)
        at = ((rows.sample[kept] - first).long(), *rows.where[kept, 1:].long().unbind(1))
        self.labels.append({name: found[at[: found.ndim]] for name, found in labels.items()})
        self.acts.append(acts_NF[kept].half())
        self.sample.append(rows.sample[kept])
        self.rows += len(acts_NF[kept])

    def factors(self) -> list[Factor | None]:
        """Return what each feature finds; nothing where no truth was known."""
        if not self.labels:
            return []
        labels = {name: torch.cat([one[name] for one in self.labels]) for name in self.labels[0]}
        return factors_of(torch.cat(self.acts).float(), labels, self.values, torch.cat(self.sample))


class _Watch:
    """What a survey has found so far."""

    def __init__(self, job: Job, sae: Sae, wanted: Wanted, kind: Kind | None) -> None:
        self.job, self.sae, self.wanted, self.kind = job, sae, wanted, kind
        self.tally = Tally(sae.d_sae)
        self.strongest, self.random = Kept(sae.d_sae, wanted.strongest), Kept(sae.d_sae, wanted.random)
        self.samples: dict[int, Sample] = {}
        self.judged = _Judged()
        self.first = 0  # the number of the next input's first sample
        self.begun: tuple[Arguments, Rows] | None = None
        self.numbers = torch.Generator().manual_seed(wanted.seed)

    @property
    def point(self) -> Point:
        return self.job.points[0]

    @torch.no_grad()
    def look(self, data: Any, number: int, given: Arguments) -> None:
        """Run the model on one input, and keep what is worth keeping of it."""
        known = behind(data, number)
        layout = layout_of(self.job.lens, self.point.name)
        if self.kind is None:
            self.kind = kind_of(Scene(self.job.lens, self.point.name, named(given), known, layout))
        with seeded(number):
            ran = self.job.run(given, first=self.first, whole=self.kind.needs_output)
        rows = ran.rows[self.point.name]
        if self.begun is None:
            self.begun = given, rows
        acts_NF = (
            self.sae.encode(rows.values.to(self.sae.encoder.device, self.sae.encoder.dtype)).float().cpu()
        )
        self.tally.add(acts_NF)
        grid = Grid(rows.sample)
        self._keep(acts_NF, grid)
        self._show(grid, ran, named(given), known, layout)
        if hasattr(data, "labels"):
            self.judged.values = data.values
            extent = ran.extents[self.point.name]
            self.judged.add(acts_NF, rows, data.labels(number, extent), self.first)
        self.first += samples_of(given)

    def _keep(self, acts_NF: Tensor, grid: Grid) -> None:
        acts_SPF = grid.spread(acts_NF, 0.0)
        drawn = torch.rand(acts_SPF.shape, generator=self.numbers)
        active = acts_SPF > 0
        self.strongest.add(acts_SPF.masked_fill(~active, NEVER), acts_SPF, grid.samples)
        self.random.add(drawn.masked_fill(~active, NEVER), acts_SPF, grid.samples)

    def _show(
        self, grid: Grid, ran: Ran, given: Mapping[str, Any], known: Behind, layout: Layout | None
    ) -> None:
        """Keep how the input's samples look, where they are examples, and let go of those that no longer are."""
        assert self.kind is not None
        wanted = self.strongest.samples | self.random.samples
        self.samples = {number: sample for number, sample in self.samples.items() if number in wanted}
        rows, extent = ran.rows[self.point.name], ran.extents[self.point.name]
        for place, sample in enumerate(grid.samples.tolist()):
            if sample not in wanted:
                continue
            row = sample - self.first
            where = rows.where[grid.index[place][grid.index[place] >= 0]]
            name = known.names[row] if row < len(known.names) else f"sample {sample}"
            placed = places(where[:, 1:], extent, layout and layout.given(given, row))
            view = self.kind.view(given, ran.output, row, known)
            self.samples[sample] = Sample(sample, name, view, where, placed)

    def found(self) -> Survey:
        """Return the survey, with what needs all rows at once."""
        if self.begun is None or self.kind is None:
            raise SaeError("There are no inputs to survey the features on.")
        given, rows = self.begun
        order = torch.argsort(self.tally.active, descending=True, stable=True).tolist()
        steered = [n for n in order if self.tally.active[n] > 0][: self.wanted.effects]
        strengths = [(n, float(self.tally.top[n])) for n in steered]
        effects = effects_of(self.job, self.sae, few(given, STEERED), rows, strengths) if steered else {}
        return Survey(
            sae=self.sae,
            point=self.point.name,
            kind=self.kind,
            tally=self.tally,
            strongest=self.strongest,
            random=self.random,
            samples=self.samples,
            factors=self.judged.factors(),
            effects=effects,
            facts=self._facts(),
        )

    def _facts(self) -> dict[str, str]:
        return {
            "model": type(self.job.lens.model).__name__,
            "samples": f"{self.first:,}",
            "rows": f"{self.tally.rows:,}",
            "autoencoder": f"{self.sae.variant}, {self.sae.d_sae:,} features of {self.sae.d_in} dimensions",
        }


def named(given: Arguments) -> dict[str, Any]:
    """Return arguments by name; those without one by their place, `"0"`."""
    args, kwargs = given
    return {**{str(place): value for place, value in enumerate(args)}, **kwargs}


def places(where: Tensor, extent: tuple[int, ...], layout: Layout | None) -> tuple[Place, ...]:
    """Return where positions lie in the input; by their numbers alone where no layout says, or it does not fit."""
    found: dict[tuple[int, ...], Place] = {}
    for position in map(tuple, where.tolist()):
        if position not in found:
            found[position] = place_of(position, extent, layout)
    return tuple(found[position] for position in map(tuple, where.tolist()))


def place_of(position: tuple[int, ...], extent: tuple[int, ...], layout: Layout | None) -> Place:
    """Return where a position lies in the input."""
    if layout is not None and position:
        with suppress(AxisError):  # inputs of another size than the layout was made for
            return layout.where(position, extent)
    return Place(f"position {', '.join(map(str, position))}" if position else "the whole")
