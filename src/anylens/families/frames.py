"""Layouts of sound: which seconds of the input a position stands for, and in a spectrogram which band."""

from collections.abc import Iterable
from dataclasses import dataclass

from anylens.core.errors import AxisError
from anylens.families.layouts import Layout, Place, expect_within


@dataclass(frozen=True)
class Frames(Layout):
    """Position n stands for the n-th hop of the sound, behind the tokens that `prefix` names.

    A position is computed from more of the sound than its hop: `heard` says from what, as long as nothing but the
    model's first convolutions mixed positions. Attention then mixes all.

    Attributes:
        hop: seconds from one position to the next.
        field: seconds of sound that a position is computed from; none given, one hop.
        start: where what the first position is computed from begins, in seconds; below zero, in the padding.
    """

    hop: float
    field: float = 0.0
    start: float = 0.0
    prefix: tuple[str, ...] = ()

    def where(self, position: tuple[int, ...], extent: tuple[int, ...]) -> Place:
        """Return the hop that a position stands for."""
        expect_within(position, extent, 1)
        if position[0] < len(self.prefix):
            return Place(f"{self.prefix[position[0]]} token")
        frame = position[0] - len(self.prefix)
        return Place(f"frame {frame}", seconds=(frame * self.hop, (frame + 1) * self.hop))

    def heard(self, position: int) -> tuple[float, float]:
        """Return the seconds that a position is computed from before attention.

        Raises AxisError for a token that stands for no sound.
        """
        frame = position - len(self.prefix)
        if frame < 0:
            raise AxisError(f"Position {position} is no frame of the sound: it is one of {self.prefix}.")
        begin = self.start + frame * self.hop
        return begin, begin + (self.field or self.hop)


@dataclass(frozen=True)
class Convolution:
    """A convolution over time, by what decides where its outputs lie; `padding` is that on the left."""

    kernel: int
    stride: int = 1
    padding: int = 0


def convolved(frames: Frames, layers: Iterable[Convolution]) -> Frames:
    """Return the layout of what convolutions make of frames."""
    hop, field, start = frames.hop, frames.field or frames.hop, frames.start
    for layer in layers:
        start -= layer.padding * hop
        field += (layer.kernel - 1) * hop
        hop *= layer.stride
    return Frames(hop, field, start)


@dataclass(frozen=True)
class Spectrogram(Layout):
    """Patches of a spectrogram, all of the lowest band first, behind the tokens that `prefix` names.

    Patches may overlap. Pairs are of frequency and time.

    Attributes:
        patch: mel bins and frames that a patch covers.
        stride: mel bins and frames from one patch to the next.
        grid: how many patches there are.
        frame: seconds from one frame of the spectrogram to the next.
    """

    patch: tuple[int, int]
    stride: tuple[int, int]
    grid: tuple[int, int]
    frame: float
    prefix: tuple[str, ...] = ()

    def where(self, position: tuple[int, ...], extent: tuple[int, ...]) -> Place:
        """Return the seconds and the band that a patch covers."""
        expect_within(position, extent, 1)
        bands, times = self.grid
        if extent[0] != len(self.prefix) + bands * times:
            raise AxisError(
                f"{extent[0]} positions are not {bands} bands of {times} patches behind {len(self.prefix)} tokens. "
                "The spectrogram has another length than the one this layout was made for."
            )
        if position[0] < len(self.prefix):
            return Place(f"{self.prefix[position[0]]} token")
        band, time = divmod(position[0] - len(self.prefix), times)
        low, first = band * self.stride[0], time * self.stride[1]
        seconds = (first * self.frame, (first + self.patch[1]) * self.frame)
        return Place(f"patch ({band}, {time})", seconds=seconds, band=(low, low + self.patch[0]))
