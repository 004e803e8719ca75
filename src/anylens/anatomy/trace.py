"""What one watched forward pass showed: values, the operations that made them, and the module calls around them.

Values, operations and calls are numbered in the order in which they appeared. Nothing here holds a tensor.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

from anylens.anatomy.functions import FunctionCall
from anylens.core.tree import Key


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor at one moment: an operation that changes it in place makes a new value."""

    number: int
    shape: tuple[int, ...]
    dtype: str
    maker: int | None  # the operation that made it; None for inputs, parameters and constants
    parameter: str = ""  # the path of the parameter or buffer that it is


@dataclass(frozen=True, slots=True)
class Op:
    """One torch function: what it took, what it gave, and the call in whose forward it ran."""

    number: int
    function: str
    call: int  # the innermost module call; -1 outside all, and for what a change through a view stands for
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    labels: tuple[str, ...]  # what it is computed from, seen from its scope, at growing depth: see `labels`
    note: str = ""  # what the function's other arguments say, where a reader needs it (an einsum's equation)


@dataclass(slots=True)
class Call:
    """One call of a module: what entered, what left, and the operations in between."""

    number: int  # below -1: no call, but a part of a forward that comes again, as a block does
    path: str
    kind: str  # the module's class
    parent: int  # the call around it; -1 for the outermost
    turn: int  # how many calls of this module came before
    begin: int  # the first operation inside
    end: int = -1  # the operation after the last one inside
    inputs: dict[Key, int] = field(default_factory=dict)
    outputs: dict[Key, int] = field(default_factory=dict)
    finished: int = -1  # a clock tick: how many calls had ended when this one did


@dataclass(frozen=True)
class Trace:
    """One forward pass, with the look-ups that the readers of it need."""

    values: tuple[Value, ...]
    ops: tuple[Op, ...]
    calls: tuple[Call, ...]
    functions: tuple[FunctionCall, ...] = ()  # the calls of functions that have stand-ins

    @cached_property
    def readers(self) -> dict[int, list[Op]]:
        """The operations that take each value."""
        found: dict[int, list[Op]] = defaultdict(list)
        for op in self.ops:
            for value in dict.fromkeys(op.inputs):
                found[value].append(op)
        return found

    @cached_property
    def by_path(self) -> dict[str, list[Call]]:
        """The calls of each module, in order."""
        found: dict[str, list[Call]] = defaultdict(list)
        for call in self.calls:
            found[call.path].append(call)
        return found

    @cached_property
    def by_scope(self) -> dict[int, list[Op]]:
        """The operations directly in each call's forward, in order."""
        found: dict[int, list[Op]] = defaultdict(list)
        for op in self.ops:
            found[op.call].append(op)
        return found

    @cached_property
    def given_out(self) -> dict[int, list[tuple[Call, Key]]]:
        """The calls that each value left, the innermost first."""
        found: dict[int, list[tuple[Call, Key]]] = defaultdict(list)
        for call in sorted(self.calls, key=lambda call: call.finished):
            for key, value in call.outputs.items():
                found[value].append((call, key))
        return found

    @cached_property
    def taken_in(self) -> dict[int, list[tuple[Call, Key]]]:
        """The calls that each value entered, the outermost first."""
        found: dict[int, list[tuple[Call, Key]]] = defaultdict(list)
        for call in self.calls:
            for key, value in call.inputs.items():
                found[value].append((call, key))
        return found

    def maker(self, value: int) -> Op | None:
        """The operation that made a value."""
        number = self.values[value].maker
        return None if number is None else self.ops[number]

    def inside(self, op: Op, call: Call) -> bool:
        """Whether an operation ran during a call, in its own forward or deeper."""
        return call.begin <= op.number < call.end

    def within(self, inner: Call, outer: Call) -> bool:
        """Whether a call is `outer` or ran during it."""
        if outer.number < -1:  # it stands for a part of a forward that is no call
            return outer.begin <= inner.begin < outer.end and inner.end <= outer.end
        number = inner.number
        while number >= 0:
            if number == outer.number:
                return True
            number = self.calls[number].parent
        return False

    def scope(self, op: Op) -> Call | None:
        """The call in whose forward an operation ran."""
        return self.calls[op.call] if op.call >= 0 else None
