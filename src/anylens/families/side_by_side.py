"""Layouts of text and picture in one attention: which keys are the prompt's, which positions are the picture's."""

from dataclasses import dataclass, replace

from anylens.core.errors import AxisError
from anylens.families.layouts import Layout, Place, expect_within


@dataclass(frozen=True)
class Crossed(Layout):
    """Positions of one kind that attend to keys of another: `keys` places those of cross-attention.

    In a pattern of cross-attention `query_pos` lies where `own` says, and `key_pos` where `keys` says.
    """

    own: Layout
    keys: Layout

    def of(self, name: str) -> Layout:
        """Return the layout of a point's positions: keys and values of cross-attention are the other's."""
        crossed = name.endswith((".hook_k", ".hook_v")) and "cross_attn" in name
        return self.keys if crossed else self.own.of(name)

    def where(self, position: tuple[int, ...], extent: tuple[int, ...]) -> Place:
        """Place a position of the stream itself."""
        return self.own.where(position, extent)


@dataclass(frozen=True)
class Joint(Layout):
    """Streams that attend to each other, end to end in the order of `parts`: `(("text", ...), ("image", ...))`.

    The points of a stream (`image.blocks.0.hook_resid_post`) have its own positions; those of attention, and of a
    joint stream, have all of them: `spans` says which are whose.

    Attributes:
        parts: the name of each stream and the layout of its positions, in the order in which attention takes them.
        sizes: how many positions a stream has, for all but one of them; `sized` returns the layout of another input.
    """

    parts: tuple[tuple[str, Layout], ...]
    sizes: tuple[tuple[str, int], ...] = ()

    def of(self, name: str) -> Layout:
        """Return the layout of a point's positions, by the stream that the point's name begins with."""
        words = name.split(".")
        if "attn" in words:
            return self
        return next((layout for part, layout in self.parts if part in words), self)

    def sized(self, **positions: int) -> "Joint":
        """Return the layout for so many positions of all streams but one: `layout.sized(text=77)`."""
        unknown = positions.keys() - dict(self.parts).keys()
        if unknown:
            raise AxisError(f"There is no part {', '.join(unknown)} here, but {self._listed()}.")
        return replace(self, sizes=tuple(positions.items()))

    def spans(self, positions: int) -> dict[str, slice]:
        """Return which of so many joint positions belong to each stream.

        Raises AxisError where the sizes of the streams are not known, or do not fit.
        """
        sizes = dict(self.sizes)
        open_ended = [name for name, _ in self.parts if name not in sizes]
        rest = positions - sum(sizes.values())
        if len(open_ended) > 1:
            raise AxisError(
                f"How many of the {positions} positions are whose is not known: say it, "
                f"layout.sized({open_ended[0]}=...)."
            )
        if rest < 0 or (rest and not open_ended):
            raise AxisError(
                f"{positions} positions do not divide into {sizes}. Say how many there are: layout.sized(...)."
            )
        found, begin = {}, 0
        for name, _ in self.parts:
            end = begin + sizes.get(name, rest)
            found[name], begin = slice(begin, end), end
        return found

    def where(self, position: tuple[int, ...], extent: tuple[int, ...]) -> Place:
        """Place one of all positions; its label begins with the name of its stream."""
        expect_within(position, extent, 1)
        layouts = dict(self.parts)
        for name, span in self.spans(extent[0]).items():
            if span.start <= position[0] < span.stop:
                place = layouts[name].where((position[0] - span.start,), (span.stop - span.start,))
                return replace(place, label=f"{name} {place.label}")
        raise AxisError(f"Position {position} belongs to none of {self._listed()}.")

    def _listed(self) -> str:
        return ", ".join(name for name, _ in self.parts)
