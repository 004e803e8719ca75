"""A draft of the points of a model, filled by the readers of its trace."""

from anylens.anatomy.heads import View, shown_shape
from anylens.anatomy.points import Point, Tap
from anylens.anatomy.taps import reader_for, tap_for
from anylens.anatomy.trace import Trace
from anylens.core.axes import Axes


class Draft:
    """Collects canonical points, and the reasons why some are not there."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.points: dict[str, Point] = {}
        self.absent: dict[str, str] = {}
        self.stream: int | None = (
            None  # what enters the stream at hand, against which flattened shapes are read
        )

    def lack(self, name: str, why: str) -> None:
        """Note why a canonical point is missing."""
        self.absent[name] = why

    def value(self, name: str, value: int, axes: Axes, tap: Tap | None = None) -> None:
        """Add a point that carries a value of the trace, at `tap` or wherever a write reaches all its readers."""
        tap = tap or tap_for(self.trace, value)
        if tap is None:
            self.lack(name, "its value is not computed by an operation that can be tapped")
            return
        reader = reader_for(self.trace, value) if tap.rule is not None else None
        self.seen(name, value, View(self.fit(axes, value)), (tap, reader))

    def seen(self, name: str, value: int, view: View, taps: tuple[Tap, Tap | None]) -> None:
        """Add a point with the view that its value is shown in."""
        record = self.trace.values[value]
        shape = shown_shape(record.shape, view)
        self.points[name] = Point(
            name, view.axes, shape, record.dtype, taps[0], "canonical", taps[1], view.layout
        )

    def fit(self, axes: Axes, value: int) -> Axes:
        """Keep axes that have the value's rank; name flattened and missing dimensions for what they are."""
        shape = self.trace.values[value].shape
        if len(shape) == len(axes):
            return axes
        if len(shape) == 2 and len(axes) == 3:
            whole = self.trace.values[self.stream].shape if self.stream is not None else ()
            if (whole[:1] == shape[:1] and shape[0] != 1) or (
                whole[:1] == (1,) == shape[:1] and whole[1:2] != (1,)
            ):
                return (axes[0], axes[2])
            if len(whole) == 3 and shape[0] == whole[0] * whole[1]:
                return ("batch_pos", axes[2])
        if len(shape) < len(axes):
            return axes[len(axes) - len(shape) :]
        return (*(f"axis{n}" for n in range(len(shape) - len(axes))), *axes)
