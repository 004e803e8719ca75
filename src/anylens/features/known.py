"""What is known of an autoencoder's features on some data, and the samples that show it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from anylens.core.markup import Html, join, table, tag
from anylens.families.layouts import Place
from anylens.features import notebook
from anylens.features.effect import Effect
from anylens.features.factors import Factor
from anylens.features.kept import NONE, Kept
from anylens.features.kinds import Kind, Mark, View
from anylens.features.tally import Histogram, Tally
from anylens.sae.base import Sae

NEIGHBOURS = 6
LISTED = 10  # features in a notebook's table
AT_ONCE = 1024  # directions that are compared with all others at once


@dataclass(frozen=True)
class Sample:
    """A sample that is shown: its number in the data, its name, how it looks, and where each of its rows lies.

    `where` is `[row, 1 + axes]`, step and position; `extent` the sizes of the axes of positions.
    """

    number: int
    name: str
    view: View
    where: Tensor
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Example:
    """A sample in which a feature is active.

    Attributes:
        sample: the sample.
        row: which of its rows this is the example of.
        acts: `[row]`, the feature's activations in all rows of the sample.
    """

    sample: Sample
    row: int
    acts: Tensor

    @property
    def strength(self) -> float:
        """The activation in the row."""
        return float(self.acts[self.row])

    @property
    def step(self) -> int:
        """The step of the run that the row is of."""
        return int(self.sample.where[self.row, 0])

    @property
    def position(self) -> tuple[int, ...]:
        """The row's position, an index on each axis of positions."""
        return tuple(self.sample.where[self.row, 1:].tolist())

    def marks(self, top: float) -> list[Mark]:
        """Return the rows in which the feature is active, on a scale that ends at `top`."""
        where, places = self.sample.where, self.sample.places
        return [
            Mark(row, places[row], min(1.0, value / top), f"{value:.2f}", int(where[row, 0]))
            for row, value in enumerate(self.acts.tolist())
            if value > 0
        ]

    def __str__(self) -> str:
        step = f", step {self.step}" if self.step else ""
        return f"{self.strength:.2f} in {self.sample.name}, {self.sample.places[self.row].label}{step}"


@dataclass(frozen=True)
class Known:
    """What is known of a feature.

    Attributes:
        number: of the feature.
        kind: how samples are shown.
        density: the share of rows in which it is active.
        top, mean: its largest activation, and its mean over rows in which it is active.
        histogram: of its activations.
        strongest, random: examples, each of another sample: the strongest, and random ones.
        near: the features whose decoder directions are nearest, with their cosines.
        factor: the factor value that it finds best, where the truth is known.
        effect: what steering with it does to the output, where that was measured.
    """

    number: int
    kind: Kind
    density: float
    top: float
    mean: float
    histogram: Histogram
    strongest: tuple[Example, ...]
    random: tuple[Example, ...]
    near: tuple[tuple[int, float], ...]
    factor: Factor | None = None
    effect: Effect | None = None

    def _repr_html_(self) -> str:
        """Show the feature on its strongest examples in a notebook."""
        finds = f", finds {self.factor} (AUROC {self.factor.auroc:.2f})" if self.factor else ""
        said = f"Feature {self.number}: active in {self.density:.2%} of rows, at most {self.top:.3g}{finds}"
        return notebook.framed(said, (self._shown(one) for one in self.strongest))

    def _shown(self, one: Example) -> Html:
        view, marks = one.sample.view, one.marks(max(self.top, 1e-12))
        shown = self.kind.html(
            view, marks, lambda name: view.media[name].address if name in view.media else ""
        )
        return join([shown, tag("small", str(one))])


@dataclass(frozen=True, eq=False)
class Survey(Mapping[int, Known]):
    """What is known of every feature of an autoencoder on some data: a mapping from the feature's number.

    Attributes:
        sae: the autoencoder.
        point: the point that it is of.
        kind: how samples are shown.
        tally: how often and how strongly features are active.
        samples: those that are shown, by number.
        facts: what was surveyed, in words, for a page's head.
    """

    sae: Sae
    point: str
    kind: Kind
    tally: Tally
    strongest: Kept
    random: Kept
    samples: Mapping[int, Sample]
    factors: Sequence[Factor | None] = ()
    effects: Mapping[int, Effect] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, number: int) -> Known:
        number = self.sae.feature(number).number
        tally = self.tally
        return Known(
            number=number,
            kind=self.kind,
            density=int(tally.active[number]) / max(tally.rows, 1),
            top=float(tally.top[number]),
            mean=float(tally.total[number]) / max(int(tally.active[number]), 1),
            histogram=tally.histogram(number),
            strongest=self._examples(self.strongest, number),
            random=self._examples(self.random, number),
            near=self.near(number),
            factor=self.factors[number] if self.factors else None,
            effect=self.effects.get(number),
        )

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.sae.d_sae))

    def __len__(self) -> int:
        return self.sae.d_sae

    @property
    def alive(self) -> list[int]:
        """The features that are active in some row."""
        found: list[int] = self.tally.active.nonzero().flatten().tolist()
        return found

    def near(self, number: int) -> tuple[tuple[int, float], ...]:
        """Return the features whose decoder directions are nearest to one's, with their cosines."""
        places, values = self._near
        return tuple(zip(places[number].tolist(), values[number].tolist(), strict=True))

    @cached_property
    def _near(self) -> tuple[Tensor, Tensor]:
        """Numbers and cosines of the nearest, `[F, NEIGHBOURS]` each, found some features at a time."""
        directions = torch.nn.functional.normalize(self.sae.decoder.detach().float().cpu())
        places, values = [], []
        for start in range(0, len(directions), AT_ONCE):
            found = directions[start : start + AT_ONCE] @ directions.T
            found[torch.arange(len(found)), torch.arange(start, start + len(found))] = -2
            value, place = found.topk(min(NEIGHBOURS, len(directions) - 1), dim=1)
            values.append(value)
            places.append(place)
        return torch.cat(places), torch.cat(values)

    def _examples(self, kept: Kept, number: int) -> tuple[Example, ...]:
        listed = zip(kept.sample[number].tolist(), kept.row[number].tolist(), kept.acts[number], strict=True)
        return tuple(
            Example(self.samples[sample], row, acts[: len(self.samples[sample].where)].float())
            for sample, row, acts in listed
            if sample != NONE
        )

    def _repr_html_(self) -> str:
        """Show a row for each of the features that are active most often in a notebook."""
        order = torch.argsort(self.tally.active, descending=True, stable=True)[:LISTED].tolist()
        known = [self[number] for number in order]
        rows = [
            (k.number, f"{k.density:.2%}", f"{k.top:.3g}", k.factor or "", *k.strongest[:1]) for k in known
        ]
        head = ("feature", "density", "strongest", "finds", "where")
        return tag("div", repr(self), table(head, rows))

    def __repr__(self) -> str:
        return (
            f"Survey of {len(self):,} features at {self.point}: {len(self.alive):,} active, over "
            f"{self.tally.rows:,} rows"
        )
