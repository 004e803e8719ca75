"""Layouts: where in the input a position lies, so that a feature can be shown on what it fires for."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from anylens.core.errors import AxisError

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Place:
    """A place in the input.

    `token` is an index into the tokens; `box` is top, left, bottom, right of a region, as fractions of the picture;
    `seconds` is a span of sound, and `band` the mel bins of it, from the first to behind the last. `picture` says which
    picture of the input, `frames` which frames of a film, `steps` which steps of a series and `channel` which of its
    channels; spans are from the first to behind the last.
    A token that stands for no place, such as a class token, has none of these.
    """

    label: str
    token: int | None = None
    box: Box | None = None
    seconds: tuple[float, float] | None = None
    band: tuple[int, int] | None = None
    picture: int | None = None
    frames: tuple[int, int] | None = None
    steps: tuple[int, int] | None = None
    channel: int | None = None


class Layout(ABC):
    """Maps positions to the input. A subclass is a frozen dataclass with one method."""

    @abstractmethod
    def where(self, position: tuple[int, ...], extent: tuple[int, ...]) -> Place:
        """Return the place of a position, given the sizes of the axes that it indexes.

        `where((5,), (17,))` is position 5 of 17; `where((1, 2), (3, 4))` is row 1, column 2 of a grid of 3 by 4.
        Raises AxisError for a position that does not lie within the extent, or an extent that does not fit.
        """

    def of(self, name: str) -> "Layout":
        """Return the layout of one point's positions, by the point's name; most models have one for all points."""
        return self

    def given(self, inputs: Any, row: int = 0) -> "Layout":
        """Return the layout for one row of an input, where its content says what its positions are."""
        return self


@dataclass(frozen=True)
class Parts(Layout):
    """A layout for each component of a model, by the prefix of its points: `(("vision", Patches(...)), ...)`."""

    parts: tuple[tuple[str, Layout], ...]

    def of(self, name: str) -> Layout:
        fitting = [prefix for prefix, _ in self.parts if not prefix or f"{name}.".startswith(f"{prefix}.")]
        if not fitting:
            raise AxisError(f"{name} is in none of the components {self._listed()}, so no layout places it.")
        return dict(self.parts)[max(fitting, key=len)].of(name)

    def given(self, inputs: Any, row: int = 0) -> "Parts":
        return Parts(tuple((prefix, layout.given(inputs, row)) for prefix, layout in self.parts))

    def where(self, position: tuple[int, ...], extent: tuple[int, ...]) -> Place:
        raise AxisError(
            f"Positions differ between the components {self._listed()}. Ask layout.of(NAME_OF_A_POINT).where(...)."
        )

    def _listed(self) -> str:
        return ", ".join(prefix or "(the rest)" for prefix, _ in self.parts)


@dataclass(frozen=True)
class Tokens(Layout):
    """Position n is token n of an argument of the model; `arguments` says of which, by component."""

    arguments: tuple[tuple[str, str], ...] = (("", "input_ids"),)

    def where(self, position: tuple[int, ...], extent: tuple[int, ...]) -> Place:
        expect_within(position, extent, 1)
        return Place(f"token {position[0]}", token=position[0])

    def argument(self, component: str = "") -> str:
        """Return the argument that holds the tokens of a component; the nameless one answers for the rest."""
        named = dict(self.arguments)
        return named.get(component, named.get("", ""))


@dataclass(frozen=True)
class Cells(Layout):
    """A position is a row and a column of a grid that covers the picture, however coarse the grid."""

    def where(self, position: tuple[int, ...], extent: tuple[int, ...]) -> Place:
        expect_within(position, extent, 2)
        return Place(f"cell ({position[0]}, {position[1]})", box=box_of(position, extent))


@dataclass(frozen=True)
class Patches(Layout):
    """Patches of a picture in reading order, behind the tokens that `prefix` names (`("class",)`).

    `grid` is in patches. A stage that merges patches has fewer positions; its coarser grid follows from their number.
    """

    patch: tuple[int, int]
    grid: tuple[int, int]
    prefix: tuple[str, ...] = ()

    def where(self, position: tuple[int, ...], extent: tuple[int, ...]) -> Place:
        if len(extent) == 2:
            return Cells().where(position, extent)
        expect_within(position, extent, 1)
        if position[0] < len(self.prefix):
            return Place(f"{self.prefix[position[0]]} token")
        grid = self.grid_of(extent[0] - len(self.prefix))
        cell = divmod(position[0] - len(self.prefix), grid[1])
        return Place(f"patch ({cell[0]}, {cell[1]})", box=box_of(cell, grid))

    def grid_of(self, patches: int) -> tuple[int, int]:
        """Return the rows and columns that this many patches form: the grid itself, or one merged evenly."""
        rows, columns = self.grid
        step = math.isqrt(rows * columns // patches) if patches > 0 else 0
        if not step or (rows // step) * (columns // step) != patches:
            raise AxisError(
                f"{patches} patches do not form the grid of {rows} by {columns}, nor a coarser one. "
                "The picture has another size than the one this layout was made for."
            )
        return rows // step, columns // step


def box_of(cell: tuple[int, ...], grid: tuple[int, ...]) -> Box:
    """Return the region of a cell of a grid, as fractions of the whole."""
    (row, column), (rows, columns) = cell, grid
    return row / rows, column / columns, (row + 1) / rows, (column + 1) / columns


def expect_within(position: tuple[int, ...], extent: tuple[int, ...], axes: int) -> None:
    """Raise AxisError for a position that has not this many axes, or does not lie within the extent."""
    """Refuse a position that is not of so many axes, or does not lie within the extent."""
    if len(position) != axes or len(extent) != axes:
        raise AxisError(
            f"This layout places positions of {axes} axes, and was given {position} within {extent}."
        )
    if any(not 0 <= index < size for index, size in zip(position, extent, strict=True)):
        raise AxisError(f"Position {position} does not lie within {extent}.")
