"""A board: small square panels side by side in one figure, all on the same scale of colour.

One set of axes holds them all: a figure of forty sets of axes takes seconds, a board of forty panels a blink.
"""

from typing import Any

import torch
from torch import Tensor

from anylens.core.optional import require
from anylens.report.theme import HEAT, Theme

GAP = 0.1  # between panels, in panels
TICKS = (0.0, 0.05, 0.25, 0.5, 1.0)  # of a scale from 0 to 1 on which small values take more room


class Board:
    """Square panels by column and row, counted from the top left; a panel's side is the unit of length.

    area: left, top, width and height of the board on the figure, in panels. inch: a panel's side in inches. top: the
    value at the end of the colour scale, which starts at 0. gamma: below 1, small values take more of the scale.
    """

    def __init__(
        self,
        drawn: Any,
        area: tuple[float, float, float, float],
        theme: Theme,
        *,
        top: float = 1.0,
        inch: float = 1.0,
        gamma: float = 1.0,
    ) -> None:
        self.theme, self.top, self.gamma, self.step = theme, top, gamma, 1 + GAP
        left, upper, width, height = area
        whole = [side / inch for side in drawn.get_size_inches()]
        place = (left / whole[0], 1 - (upper + height) / whole[1], width / whole[0], height / whole[1])
        self.axes = drawn.add_axes(place, xlim=(0, width), ylim=(height, 0))
        self.axes.axis("off")

    def picture(self, column: float, row: float, pixels: Tensor) -> None:
        """Show a picture, [channel, height, width], 0..1, pixel by pixel."""
        self._image(pixels.permute(1, 2, 0), (column, row), 1.0)

    def heat(self, column: float, row: float, values: Tensor, mask: Tensor | None = None) -> None:
        """Show one number for each square patch as colour, and the outline of an object over it."""
        side = round(len(values) ** 0.5)
        self._image(values.reshape(side, side), (column, row), 1.0)
        if mask is not None:
            self.outline(column, row, mask)

    def outline(self, column: float, row: float, mask: Tensor) -> None:
        """Draw the edge of an object, white on black so that it shows on any colour."""
        at = (torch.arange(mask.shape[-1]) + 0.5) / mask.shape[-1]
        x, y = (at + self.step * place for place in (column, row))
        for colour, width in (("black", 2.6), ("white", 1.2)):
            self.axes.contour(
                x.numpy(), y.numpy(), mask.numpy(), levels=[0.5], colors=[colour], linewidths=width
            )

    def number(self, column: float, row: float, value: float, *, size: float = 0.55) -> None:
        """Show one number as a square of colour, smaller than a panel, with the number in it."""
        inset = (1 - size) / 2 / self.step
        self._image(torch.tensor([[value]]), (column + inset, row), size)
        self.write(
            column,
            row,
            f"{value:.2f}",
            at=(0.5, size / 2),
            color=on_heat(max(0.0, value / self.top) ** self.gamma),
        )

    def write(self, column: float, row: float, text: str, *, at: tuple[float, float], **style: Any) -> None:
        """Write at a place of a panel: (0.5, 0.5) is its centre, (0.5, -0.1) above it."""
        style = {"ha": "center", "va": "center", **style}
        self.axes.text(column * self.step + at[0], row * self.step + at[1], text, **style)

    def _image(self, values: Tensor, place: tuple[float, float], size: float) -> None:
        x, y = (self.step * part for part in place)
        image = self.axes.imshow(
            values.numpy(),
            cmap=HEAT,
            norm=scale(self.top, self.gamma),
            extent=(x, x + size, y + size, y),
            interpolation="nearest",
            aspect="auto",
        )
        image.set_clip_on(False)
        self.axes.set(xlim=self.axes.get_xlim(), ylim=self.axes.get_ylim())


def scale(top: float, gamma: float = 1.0) -> Any:
    """Return the colour scale from 0 to `top`; what lies outside takes the colour of the end."""
    return require("matplotlib.colors", extra="plots").PowerNorm(gamma, vmin=0, vmax=top, clip=True)


def bar(
    drawn: Any, place: tuple[float, float, float, float], *, top: float, label: str, gamma: float = 1.0
) -> None:
    """Draw the colour scale, lying, at a place in parts of the figure: left, bottom, width, height."""
    axes = drawn.add_axes(place)
    axes.imshow(torch.linspace(0, 1, 256)[None].numpy(), cmap=HEAT, aspect="auto", extent=(0, 1, 0, 1))
    ticks = (0.0, top / 2, top) if gamma == 1 else TICKS
    axes.set(
        yticks=[], xticks=[(tick / top) ** gamma for tick in ticks], xticklabels=[f"{t:.2g}" for t in ticks]
    )
    axes.set_xlabel(label)
    for spine in axes.spines.values():
        spine.set_visible(False)


def on_heat(level: float) -> str:
    """Return a colour that can be read on the heat map at a level of 0..1."""
    return "#111111" if level > 0.55 else "#ffffff"
