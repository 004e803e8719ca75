"""Layout of attention within square windows, which every second block shifts across the picture."""

import re
from dataclasses import dataclass

from anylens.core.errors import AxisError
from anylens.families.layouts import Layout, Patches, Place

_PLACE_OF_BLOCK = re.compile(r"(?:stages\.(\d+)\.)?blocks\.(\d+)\.attn\.")


@dataclass(frozen=True)
class Windows(Patches):
    """Patches in stages that halve the grid; attention sees windows of `window` by `window` patches.

    `of(name)` gives the layout of one point. Of an attention point it places (window, position in the window): the
    windows of odd blocks are shifted by half a window, and wrap around the edges of the picture.
    """

    window: int = 0

    def of(self, name: str) -> Layout:
        found = _PLACE_OF_BLOCK.search(name)
        if found is None:
            return self
        stage, block = int(found[1] or 0), int(found[2])
        grid = (-(-self.grid[0] >> stage), -(-self.grid[1] >> stage))
        window = min(self.window, *grid)
        if max(grid) == window:  # one window is the whole picture: no axis is there for it
            return self
        shifted = block % 2 == 1 and min(grid) > self.window
        return Window(grid, window, window // 2 if shifted else 0)


@dataclass(frozen=True)
class Window(Layout):
    """Windows of one block in a grid of patches: `(3, 5)` is position 5 of window 3, both in reading order.

    Grids that windows do not fill are padded below and on the right, before they are shifted; what is padding has no
    box.
    """

    grid: tuple[int, int]
    window: int
    shift: int = 0

    def where(self, position: tuple[int, ...], extent: tuple[int, ...]) -> Place:
        rows, columns = (-(-size // self.window) for size in self.grid)
        if extent != (rows * columns, self.window**2) or len(position) != 2:
            raise AxisError(
                f"{extent} is not {rows * columns} windows of {self.window**2} positions: the picture has another "
                "size than the one this layout was made for, or the position is no (window, position in it)."
            )
        if any(not 0 <= index < size for index, size in zip(position, extent, strict=True)):
            raise AxisError(f"Position {position} does not lie within {extent}.")
        row, column = self._cell(position, (rows * self.window, columns * self.window))
        if row >= self.grid[0] or column >= self.grid[1]:
            return Place("padding")
        return Patches((1, 1), self.grid).where(
            (row * self.grid[1] + column,), (self.grid[0] * self.grid[1],)
        )

    def _cell(self, position: tuple[int, ...], padded: tuple[int, int]) -> tuple[int, int]:
        """Return the row and column of the grid, as far as that goes, that a position of a window has."""
        window, inside = position
        top, left = divmod(window, padded[1] // self.window)
        row, column = divmod(inside, self.window)
        down, right = top * self.window + row + self.shift, left * self.window + column + self.shift
        return down % padded[0], right % padded[1]
