"""A grid: what a sweep found, one number for each row of the batch and each cell, with its axes labelled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from anylens.core.errors import AxisError, RunError
from anylens.core.optional import require

Label = int | str | tuple[int, ...]
SHOWN = ("recovered", "effect", "values")


@dataclass(frozen=True)
class Grid:
    """The metric in every cell of a sweep.

    values: one number a row and cell. axes: names of the dimensions of `values`, `row` first. coordinates: by axis,
    what each index on it stands for: a number, a name of a point, or the numbers that a window holds. base: the metric
    of the run that is edited, as it is. source: of the run that is patched from, where there is one.
    """

    values: Float[Tensor, "row ..."]
    axes: tuple[str, ...]
    coordinates: Mapping[str, tuple[Label, ...]]
    base: Float[Tensor, "row"]
    source: Float[Tensor, "row"] | None = None

    @property
    def effect(self) -> Float[Tensor, "row ..."]:
        """How far each cell moves the metric from that of the run as it is."""
        return self.values - self._along(self.base)

    @property
    def recovered(self) -> Float[Tensor, "row ..."]:
        """How much of the way from the run that is edited to the one patched from a cell goes: 0 none, 1 all of it.

        Not finite in rows where the two runs have the same metric, so that there is no way to go.

        Raises RunError for a sweep without a run that is patched from, as an ablation: look at `effect`.
        """
        if self.source is None:
            raise RunError(
                "This sweep has no run that it patches from, so there is no way to go: look at effect."
            )
        return self.effect / self._along(self.source - self.base)

    def at(self, **labels: Label) -> Float[Tensor, "row ..."]:
        """Return the values at some labels: `grid.at(layer=3, pos=0)`.

        Raises AxisError for an axis or a label that the grid does not have.
        """
        values = self.values
        for axis, label in labels.items():
            if axis not in self.axes or label not in self.coordinates[axis]:
                known = ", ".join(f"{name}: {list(self.coordinates[name])}" for name in self.axes)
                raise AxisError(f"The grid has no {axis}={label!r}. It has {known}.")
        for axis in sorted(labels, key=self.axes.index, reverse=True):
            values = values.select(self.axes.index(axis), self.coordinates[axis].index(labels[axis]))
        return values

    def strongest(self, count: int = 1) -> list[dict[str, Label]]:
        """Return the labels of the cells that move the metric most, in the mean over rows, the strongest first.

        Cells without a number (NaN) come last.
        """
        mean = self.effect.mean(0)
        order = mean.abs().nan_to_num(-1.0).flatten().argsort(descending=True)[:count]
        found = zip(*(index.tolist() for index in torch.unravel_index(order, mean.shape)), strict=True)
        return [
            {axis: self.coordinates[axis][n] for axis, n in zip(self.axes[1:], index, strict=True)}
            for index in found
        ]

    def plot(self, *, of: str = "") -> Any:
        """Return a matplotlib figure of the mean over rows: of `recovered` or, where there is no source, of `effect`.

        of: "recovered", "effect" or "values". Axes of length one are left out; one that remains is drawn as a line, two
        as a picture. Raises AxisError for another `of` or where more axes remain, MissingExtraError without matplotlib.
        """
        if of not in {"", *SHOWN}:
            raise AxisError(f"A grid plots {', '.join(SHOWN)}, and was asked for {of!r}.")
        of = of or ("effect" if self.source is None else "recovered")
        mean: Tensor = getattr(self, of).mean(0).float().cpu()
        axes = [axis for axis, size in zip(self.axes[1:], mean.shape, strict=True) if size > 1] or self.axes[
            -1:
        ]
        if len(axes) > 2:
            raise AxisError(f"A plot shows two axes, and this grid has {' '.join(axes)}. Sweep over fewer.")
        figure = require("matplotlib.figure", extra="plots").Figure(layout="constrained")
        _draw(
            figure,
            mean.squeeze() if len(axes) == 2 else mean.reshape(1, -1),
            self._ticks(axes),
            of,
            list(axes),
        )
        return figure

    def to_xarray(self) -> Any:
        """Return the values as an `xarray.DataArray` with its axes and coordinates; base and source are attributes.

        Raises MissingExtraError without xarray.
        """
        xarray = require("xarray", extra="xarray")
        coordinates = {
            axis: [label if isinstance(label, (int, str)) else str(label) for label in self.coordinates[axis]]
            for axis in self.axes
        }
        attributes = {"base": self.base.tolist()}
        attributes |= {} if self.source is None else {"source": self.source.tolist()}
        return xarray.DataArray(
            self.values.float().cpu().numpy(), dims=self.axes, coords=coordinates, attrs=attributes
        )

    def _along(self, rows: Tensor) -> Tensor:
        return rows.reshape(-1, *[1] * (self.values.dim() - 1))

    def _ticks(self, axes: Any) -> list[list[str]]:
        return [[_written(label) for label in self.coordinates[axis]] for axis in axes]


def _written(label: Label) -> str:
    if isinstance(label, tuple) and len(label) > 2 and label == tuple(range(label[0], label[-1] + 1)):
        return f"{label[0]}-{label[-1]}"
    return ",".join(map(str, label)) if isinstance(label, tuple) else str(label)


def _draw(figure: Any, mean: Tensor, ticks: list[list[str]], what: str, axes: list[str]) -> None:
    panel = figure.subplots()
    across = ticks[-1]
    every = max(1, len(across) // 16)
    if len(axes) == 1:
        panel.plot(mean[0].numpy(), marker="o")
        panel.set_ylabel(what)
    else:
        most = float(mean[mean.isfinite()].abs().max()) if mean.isfinite().any() else 1.0
        image = panel.imshow(mean.numpy(), cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
        figure.colorbar(image, label=what)
        panel.set_yticks(range(len(ticks[0])), ticks[0])
        panel.set_ylabel(axes[0])
    panel.set_xticks(range(0, len(across), every), across[::every])
    panel.set_xlabel(axes[-1])
