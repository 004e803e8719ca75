"""A draft of the points of a model, filled by the readers of its trace."""

from math import prod

from anylens.anatomy.functions import Shown
from anylens.anatomy.heads import View, shown_shape
from anylens.anatomy.points import Point, Tap
from anylens.anatomy.taps import reader_for, tap_for
from anylens.anatomy.trace import Trace
from anylens.core.axes import Axes, Layout


class Draft:
    """Collects canonical points, and the reasons why some are not there."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.points: dict[str, Point] = {}
        self.absent: dict[str, str] = {}
        self.stream: int | None = None  # what enters the stream at hand: flattened shapes are read against it
        self.lead: Tap | None = None  # where that enters
        self.copied = False  # whether the stream is several copies, in a dimension behind its positions
        self.orders: dict[
            int, tuple[str, ...]
        ] = {}  # the axes of values that a block turns, in their own order
        self.called: set[int] = set()  # the calls of functions whose points are added already

    def lack(self, name: str, why: str) -> None:
        """Note why a canonical point is missing."""
        self.absent[name] = why

    def value(self, name: str, value: int, axes: Axes, tap: Tap | None = None) -> None:
        """Add a point that carries a value of the trace, at `tap` or wherever a write reaches all its readers."""
        tap = tap or tap_for(self.trace, value)
        if len(self.trace.values[value].shape) < len(axes):  # one value for all copies of a stream
            axes = tuple(axis for axis in axes if axis != "copy")
        if tap is None:
            self.lack(name, "its value is not computed by an operation that can be tapped")
            return
        reader = reader_for(self.trace, value) if tap.rule is not None else None
        if self.lead is not None and self.flattened(axes, value):
            self.unflattened(name, value, axes, (tap, reader))
            return
        view = self.turned(axes, value) or self.in_windows(axes, value) or View(self.fit(axes, value))
        self.seen(name, value, view, (tap, reader))

    def seen(self, name: str, value: int, view: View, taps: tuple[Tap, Tap | None]) -> None:
        """Add a point with the view that its value is shown in."""
        record = self.trace.values[value]
        shape = shown_shape(record.shape, view)
        lead = self.lead if view.folded else None
        self.points[name] = Point(
            name, view.axes, shape, record.dtype, taps[0], "canonical", taps[1], view.layout, lead
        )

    def flattened(self, axes: Axes, value: int) -> bool:
        """Whether a value has the positions of all rows of the batch in one dimension."""
        if self.stream is None or len(axes) != 3:
            return False
        shape, whole = self.trace.values[value].shape, self.trace.values[self.stream].shape
        rows = whole[:2] if len(whole) == 3 or self.copied else (0,)
        return len(shape) == 2 and shape[0] == prod(rows)

    def turned(self, axes: Axes, value: int) -> View | None:
        """Return the view of a value that a block turns, or has in another rank, on the way.

        Axes in another order are turned back. Positions in one dimension stay there, since a run may have others.
        """
        own = self.orders.get(value, axes)
        if own == axes or len(self.trace.values[value].shape) != len(own):
            return None
        flat = tuple("pos" if name.startswith("(") else name for name in own if name != "1")
        if any(name.startswith("(") for name in own):
            return View(flat) if len(flat) == len(own) and "batch" in flat else None
        return (
            View(axes, Layout(f"{' '.join(own)} -> {' '.join(axes)}"))
            if sorted(flat) == sorted(axes)
            else None
        )

    def inside(self, value: int, axes: Axes) -> Axes:
        """Return the axes, in its own order, of a value that a block turns; positions in one dimension are `pos`."""
        own = self.orders.get(value, axes)
        flat = tuple("pos" if name.startswith("(") else name for name in own)
        return flat if "batch" in flat else axes

    def in_windows(self, axes: Axes, value: int) -> View | None:
        """Return the view that takes windows out of the batch, for a value of a stream that has them apart."""
        if self.stream is None or self.lead is None or axes[:2] != ("batch", "window"):
            return None
        shape, whole = self.trace.values[value].shape, self.trace.values[self.stream].shape
        if len(shape) != len(axes) - 1 or shape[0] != whole[0] * whole[1]:
            return None
        rest = " ".join(axes[2:])
        return View(axes, Layout(f"(batch window) {rest} -> batch window {rest}", (("batch", whole[0]),)))

    def unflattened(self, name: str, value: int, axes: Axes, taps: tuple[Tap, Tap | None]) -> None:
        """Add a point that shows a flattened value as the stream is: the run says how many rows there are."""
        assert self.stream is not None
        record, whole = self.trace.values[value], self.trace.values[self.stream].shape
        shape = (*whole[:2], record.shape[1])
        dims = (0, 1) if self.copied else ()
        self.points[name] = Point(
            name, axes, shape, record.dtype, taps[0], reader=taps[1], lead=self.lead, lead_dims=dims
        )

    def shown(self, name: str, shown: Shown, tap: Tap) -> None:
        """Add a point that a stand-in shows; where it has the rows of the batch in one dimension, as the stream is."""
        axes, shape, lead = shown.axes, shown.shape, None
        if self.lead is not None and self.stream is not None and len(axes) == len(shape) + 1:
            whole = self.trace.values[self.stream].shape
            if len(whole) == 3 and shape[0] == whole[0] * whole[1]:
                shape, lead = (*whole[:2], *shape[1:]), self.lead
        if lead is None and len(axes) == len(shape) + 1 and axes[:2] == ("batch", "pos"):
            axes = ("batch_pos", *axes[2:])
        if len(axes) != len(shape):
            axes = tuple(f"axis{n}" for n in range(len(shape)))
        self.points[name] = Point(name, axes, shape, shown.dtype, tap, lead=lead)

    def fit(self, axes: Axes, value: int) -> Axes:
        """Keep axes that have the value's rank; name flattened and missing dimensions for what they are."""
        shape = self.trace.values[value].shape
        if len(shape) == len(axes):
            return axes
        if len(shape) == 2 and len(axes) == 3:
            return (axes[0], axes[2])
        whole = self.trace.values[self.stream].shape if self.stream is not None else ()
        if len(shape) == 3 < len(axes) and len(whole) == len(axes) and prod(shape[1:]) == prod(whole[1:]):
            first = shape[1] == whole[1] and "channel" in axes  # space in one dimension
            return (axes[0], axes[1], "pos") if first else (axes[0], "pos", axes[-1])
        if len(shape) < len(axes):
            return axes[len(axes) - len(shape) :]
        if len(shape) == len(axes) + 1 and whole and prod(shape[:2]) == whole[0] and axes[0] == "batch":
            return ("batch", "group", *axes[1:])  # not yet folded into the batch, as in the stream
        more = tuple(f"axis{n}" for n in range(len(shape)))
        if whole and axes[0] == "batch" and shape[:1] == whole[:1]:  # positions in several dimensions, say
            features = axes[-1] == "d_model" and shape[-1] == whole[-1]
            return ("batch", *more[1:-1], axes[-1] if features else more[-1])
        return (*more[: len(shape) - len(axes)], *axes)
