"""Linear probes: what can be read off the values at a place by a linear map, and along which direction it lies.

That it can be read says that it is there, not that the model uses it: compare with the control, then steer along the
direction or patch along it (`anylens.patch_from(cache, along=direction)`).

Sources: Alain and Bengio 2016, https://arxiv.org/abs/1610.01644; Hewitt and Liang 2019, https://arxiv.org/abs/1909.03368
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from anylens.analysis import probe_fits
from anylens.analysis.grid import Grid, Label
from anylens.analysis.probe_fits import PLAIN, Cell, Fitting
from anylens.core.errors import AxisError, ShapeError
from anylens.core.progress import Progress
from anylens.store.rows import Rows

NUMBERS = ("score", "control", "selectivity", "chance", "rows")  # what a table says of each probe


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear map from the values at a place to what an input has.

    Attributes:
        point: where it reads.
        place: the step and position, as far as these have probes of their own: `{"pos": 0}`.
        values: the classes that it tells apart; empty for numbers.
        weights, bias: what it reads is `x @ weights.T + bias`, in the stream's own units. For a class that is its logit
            less the mean logit of the others, for numbers the number.
        score: on held-out samples: the accuracy, or R2 for numbers.
        control: the same for labels that say nothing of the input.
        chance: the score of always saying the commonest value, or the mean.
        rows: how many it was fitted on.
    """

    point: str
    place: Mapping[str, int]
    values: tuple[int, ...]
    weights: Float[Tensor, "value d_model"]
    bias: Float[Tensor, "value"]
    score: float
    control: float
    chance: float
    rows: int

    @property
    def selectivity(self) -> float:
        """The score less the control's: what is there, less what a probe can make up (Hewitt and Liang 2019)."""
        return self.score - self.control

    def read(self, values: Float[Tensor, "... d_model"]) -> Float[Tensor, "... value"]:
        """Return what it reads off values: a number for each class, or one."""
        return values @ self.weights.T.to(values) + self.bias.to(values)

    def predict(self, values: Float[Tensor, "... d_model"]) -> Tensor:
        """Return the class that it reads off values, or the number: `[...]`."""
        read = self.read(values)
        return torch.tensor(self.values)[read.argmax(-1).cpu()] if self.values else read[..., 0]

    def weight(self, value: int | None = None) -> Float[Tensor, "d_model"]:
        """Return what a value is read by: the part of any write along it is what the write adds to the reading.

        value: the class; may be left out for numbers, and for the second of two classes.
        Raises ShapeError for a class that it does not tell.
        """
        if value is None and len(self.values) < 3:
            return self.weights[-1]
        if value not in self.values:
            raise ShapeError(
                f"This probe of {self.point} tells {list(self.values)} apart, and not {value!r}."
            )
        return self.weights[self.values.index(value)]

    def direction(self, value: int | None = None) -> Float[Tensor, "d_model"]:
        """Return the shortest vector that adds 1 to the reading: `anylens.steer(probe.direction(2), 4.0)` adds 4."""
        weight = self.weight(value)
        return weight / weight.square().sum()

    def __str__(self) -> str:
        place = "".join(f" {axis}={number}" for axis, number in self.place.items())
        return (
            f"{self.point}{place}: score {self.score:.3f}, control {self.control:.3f}, chance {self.chance:.3f}, "
            f"{self.rows} rows"
        )


@dataclass(frozen=True, eq=False)
class ProbeTable:
    """Probes by point and place. `left_out` are the places where none could be fitted, and why."""

    probes: tuple[Probe, ...]
    left_out: Mapping[str, str]

    def at(self, point: str, **place: int) -> Probe:
        """Return the probe at a point and place: `table.at("blocks.3.hook_resid_post", pos=0)`.

        Raises AxisError where there is none.
        """
        for probe in self.probes:
            if probe.point == point and probe.place == place:
                return probe
        where = f"{point}{_written(place)}"
        raise AxisError(
            f"There is no probe at {where}: {self.left_out.get(where, f'there are {len(self.probes)}')}."
        )

    def grid(self, of: str = "score") -> Grid:
        """Return the scores, or `control`, `selectivity`, `chance` or `rows`, with the axes labelled; NaN: no probe.

        The axes are `row` (of length one), `point`, and those by which there are probes. Raises AxisError for another
        `of`.
        """
        if of not in NUMBERS:
            raise AxisError(f"A probe has {', '.join(NUMBERS)}, and was asked for {of!r}.")
        axes = ("row", "point", *self.probes[0].place)
        labels: dict[str, tuple[Label, ...]] = {"row": (0,)}
        labels["point"] = tuple(dict.fromkeys(probe.point for probe in self.probes))
        labels |= {axis: tuple(sorted({probe.place[axis] for probe in self.probes})) for axis in axes[2:]}
        values = torch.full([len(labels[axis]) for axis in axes], torch.nan)
        for probe in self.probes:
            place = {"row": 0, "point": probe.point, **probe.place}
            values[tuple(labels[axis].index(place[axis]) for axis in axes)] = getattr(probe, of)
        return Grid(values, axes, labels, torch.zeros(1))

    def best(self) -> Probe:
        """Return the probe with the highest score."""
        return max(self.probes, key=lambda probe: probe.score)

    def __len__(self) -> int:
        return len(self.probes)

    def __iter__(self) -> Iterator[Probe]:
        return iter(self.probes)

    def __str__(self) -> str:
        left = [f"{where}: none, {why}" for where, why in self.left_out.items()]
        return "\n".join([*map(str, self.probes), *left])


def probe(
    rows: Mapping[str, Rows],
    labels: Tensor,
    *,
    by: Sequence[str] = ("step",),
    types: Tensor | None = None,
    fitting: Fitting = PLAIN,
    progress: bool | None = None,
) -> ProbeTable:
    """Fit a linear probe at every point, and at every step and position if wanted, and score it on held-out samples.

    (Alain and Bengio 2016, https://arxiv.org/abs/1610.01644; for the control Hewitt and Liang 2019,
    https://arxiv.org/abs/1909.03368.)

    A logistic regression for classes, a ridge regression for numbers, on features scaled to the same spread. The rows
    of one sample are never on both sides of a split.

    Args:
        rows: by point, as `anylens.harvest.collect` gives them.
        labels: `[sample]`, or `[sample, pos]` (`[sample, height, width]`) where positions differ: int for classes, -1
            where there is none; float for numbers, NaN where there is none.
        by: the axes along which each position has a probe of its own, such as `("step", "pos")`; the rows of others
            are put together.
        types: like `labels`, what a row is an instance of, such as its token: the control then gives each type one
            label at random (the control task of Hewitt and Liang). Without, it shuffles labels among rows.
        fitting: folds, penalty and seed.
        progress: whether to show how far it is; where stderr is a terminal if not said.

    Raises:
        AxisError: a point has no such axis.
        ShapeError: labels do not fit the rows, or are too few for any probe.
        MissingExtraError: scikit-learn is not installed.

    >>> from anylens.harvest import collect
    >>> from anylens.zoo.feeding import Samples
    >>> lens, pictures = anylens.load("zoo:shapes-vit"), Samples("shapes-vit", 96)
    >>> rows = collect(lens, pictures, points="blocks.*.hook_resid_post", positions="first")
    >>> size = torch.cat([pictures.truth(n).factors["size"] for n in range(len(pictures))])
    >>> table = probe(rows, size, fitting=Fitting(folds=3))
    >>> table.best().score > table.best().control
    True
    >>> hooks = {table.best().point: anylens.steer(table.best().direction(0), 2.0).on(pos=0)}
    """
    if not isinstance(rows, Mapping):
        raise ShapeError(
            f"rows are Rows by the name of their point, {{point: rows}}, and were given as {type(rows).__name__}."
        )
    probes: list[Probe] = []
    left_out: dict[str, str] = {}
    with Progress("probes", shown=progress) as shown:
        for number, (point, found) in enumerate(rows.items()):
            for place, cell in _cells(point, found, labels, types, by):
                try:
                    probes.append(_probe(point, place, probe_fits.usable(cell, fitting.folds), fitting))
                except ShapeError as error:
                    left_out[f"{point}{_written(place)}"] = str(error)
                shown.tell(sum(one.rows for one in probes), (number + 0.5) / len(rows))
    if not probes:
        why = next(iter(left_out.values()), "there are no rows")
        raise ShapeError(
            f"No probe can be fitted anywhere; at first: {why}. Give more samples or fewer folds."
        )
    return ProbeTable(tuple(probes), left_out)


def _probe(point: str, place: Mapping[str, int], cell: Cell, fitting: Fitting) -> Probe:
    score, control, chance = probe_fits.scores(cell, fitting)
    weights, bias = probe_fits.fitted(cell, fitting)
    values = tuple(sorted(set(cell.y.tolist()))) if cell.classes else ()
    return Probe(point, place, values, weights, bias, score, control, chance, len(cell.y))


def _cells(
    point: str, rows: Rows, labels: Tensor, types: Tensor | None, by: Sequence[str]
) -> Iterator[tuple[dict[str, int], Cell]]:
    """Yield each place that has a probe of its own, with the rows there that have a label."""
    axes = ("step", *rows.axes)
    unknown = [axis for axis in by if axis not in axes]
    if unknown:
        raise AxisError(f"Rows of {point} have no axis {unknown[0]!r}. They have {' '.join(axes)}.")
    label = _at_rows(labels, rows, "labels")
    known = ~label.isnan() if label.is_floating_point() else label >= 0
    which = None if types is None else _at_rows(types, rows, "types")[known].numpy()
    whole = Cell(
        rows.values[known].double().cpu().numpy(), label[known].numpy(), rows.sample[known].numpy(), which
    )
    places, number = rows.where[:, [axes.index(axis) for axis in by]].unique(dim=0, return_inverse=True)
    for index, place in enumerate(places.tolist()):
        yield dict(zip(by, place, strict=True)), whole.some((number[known] == index).numpy())


def _at_rows(given: Tensor, rows: Rows, what: str) -> Tensor:
    """Return each row's entry in what is given by sample, or by sample and position."""
    if not isinstance(given, Tensor):
        raise ShapeError(
            f"{what} are a tensor with one entry for each sample, and {type(given).__name__} was given."
        )
    given = given.cpu().long() if given.dtype == torch.bool else given.cpu()
    index = (rows.sample, *rows.where[:, 1:].long().T)
    if given.ndim not in (1, len(index)):
        raise ShapeError(
            f"{what} are [sample] or [{', '.join(('sample', *rows.axes))}], and {list(given.shape)} was given."
        )
    index = index[: given.ndim]
    sizes = [int(part.max()) + 1 if len(part) else 0 for part in index]
    if any(size > have for size, have in zip(sizes, given.shape, strict=True)):
        raise ShapeError(f"{what} are of {list(given.shape)}, and the rows go up to {sizes}.")
    return given[index]


def _written(place: Mapping[str, int]) -> str:
    return "".join(f" {axis}={number}" for axis, number in place.items())
