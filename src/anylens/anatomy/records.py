"""Records of every module and operation that ran: what the native points and the op points are made from."""

from collections import Counter
from collections.abc import Iterable, Iterator

from anylens.anatomy.anatomy import CallRecord, ModuleRecord, OpRecord, Tensor
from anylens.anatomy.recurrent import recurrent_axes
from anylens.anatomy.taps import repeats, rule_for
from anylens.anatomy.trace import Call, Trace
from anylens.anatomy.vocabulary import CONVOLUTIONS
from anylens.core.axes import Axes
from anylens.core.tree import Key

MAPS_OF_PICTURES = CONVOLUTIONS | frozenset(
    "batch_norm group_norm max_pool2d avg_pool2d adaptive_avg_pool2d".split()
)


class Records:
    """Makes the records of modules and operations, with the axes of their tensors."""

    def __init__(self, trace: Trace, streams: Iterable[tuple[Axes, int | None]]) -> None:
        self.trace = trace
        self.streams = [(axes, trace.values[value].shape) for axes, value in streams if value is not None]
        given = [trace.values[v].shape for v in trace.calls[0].inputs.values()] if trace.calls else []
        self.batches = {shape[0] for n, shape in enumerate(given) if len(shape) > 1 or (shape and not n)}
        self.recurrent = dict(recurrent_axes(trace))

    def tensors(self, slots: Iterable[tuple[Key, int]]) -> tuple[Tensor, ...]:
        found = ((key, value, self.trace.values[value]) for key, value in slots)
        return tuple(Tensor(key, v.shape, v.dtype, self.axes(number)) for key, number, v in found)

    def axes(self, number: int) -> Axes:
        """Name the axes of a value as a stream's where the shapes agree, else as far as they are plain."""
        shape = self.trace.values[number].shape
        if number in self.recurrent:
            return self.recurrent[number]
        for axes, whole in self.streams:
            if shape == whole:
                return axes
            if len(shape) == len(whole) == 3 and shape[:2] == whole[:2]:
                return (*axes[:2], "feature")
        maker = self.trace.maker(number)
        if len(shape) == 4 and maker is not None and maker.function in MAPS_OF_PICTURES:
            return ("batch", "channel", "height", "width")
        if shape and shape[0] in self.batches:
            return ("batch", *(f"axis{n}" for n in range(1, len(shape))))
        return tuple(f"axis{n}" for n in range(len(shape)))

    def modules(self) -> Iterator[ModuleRecord]:
        """Yield a record for each module that was called, with the tensors of each call."""
        for path, calls in self.trace.by_path.items():
            _, _, within = repeats(self.trace, calls[0])
            each = tuple(
                CallRecord(self.tensors(call.inputs.items()), self.tensors(call.outputs.items()))
                for call in calls
            )
            yield ModuleRecord(path, calls[0].kind, within, each, self.strays(path, calls))

    def strays(self, path: str, calls: list[Call]) -> tuple[str, ...]:
        """Return the modules that a module calls though another holds them."""
        numbers = {call.number for call in calls}
        below = f"{path}." if path else ""
        found = (call.path for call in self.trace.calls if call.parent in numbers)
        return tuple(dict.fromkeys(other for other in found if not other.startswith(below)))

    def ops(self) -> Iterator[OpRecord]:
        """Yield a record for each operation inside the model."""
        for number, ops in self.trace.by_scope.items():
            if number < 0:
                continue
            call = self.trace.calls[number]
            turn, count, within = repeats(self.trace, call)
            counts: Counter[str] = Counter()
            for op in ops:
                name = f"{op.function}.{counts[op.function]}"
                counts[op.function] += 1
                inputs = self.tensors(((n,), v) for n, v in enumerate(op.inputs))
                outputs = self.tensors(((n,), v) for n, v in enumerate(op.outputs))
                yield OpRecord(
                    call.path, turn, count, within, name, rule_for(self.trace, op), inputs, outputs
                )
