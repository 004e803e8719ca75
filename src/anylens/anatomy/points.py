"""Points: named places in a model, and the taps by which a run reaches them. Frozen data, all of it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from anylens.core.axes import Axes, Layout
from anylens.core.names import split_block
from anylens.core.tree import Key, show

Kind = Literal["canonical", "native", "op", "spliced"]


@dataclass(frozen=True)
class Rule:
    """How an operation is found again within its scope: by what it computes from what."""

    function: str
    depth: int  # how deep the label looks; 0 is the function alone
    label: str
    index: int = 0  # which of the operations that bear the label, in order
    count: int = 1  # how many of them a call of the scope shows


@dataclass(frozen=True)
class Tap:
    """Where a value is reached: an input or output of a module, or of an operation in a module's forward.

    `slot` is a key into the module's arguments or output, a position among the operation's tensors, or the name
    of a site inside a stand-in. A module called several times in one forward has a `turn`, counted from the last
    time that the module at `within` was entered; a turn of None means every call.
    """

    path: str
    side: Literal["in", "out", "inside"]
    slot: Key | int | str = ()
    rule: Rule | None = None
    turn: int | None = None
    calls: int = 1
    within: str = ""
    heads: int = 0  # how many heads a stand-in splits its result by, where it does

    def where(self) -> str:
        """Say in words of the model's own tree where this tap is."""
        place = self.path or "(the model)"
        turn = f" call {self.turn}" if self.turn is not None and self.calls > 1 else ""
        if self.rule is None:
            key = self.slot if isinstance(self.slot, tuple) else ()
            return f"{place}{turn} {self.side}{show(key)}"
        slot = f"[{self.slot}]" if self.slot else ""
        nth = f" #{self.rule.index}" if self.rule.count > 1 else ""
        return f"{place}{turn} {self.rule.function}{nth} {self.side}{slot}"


@dataclass(frozen=True)
class Point:
    """A named place whose value can be read and written.

    `tap` reaches the value before anything reads it, so that a write there is seen by every reader. `reader`,
    where there is one, carries the same value at less cost and serves where nothing is written.
    """

    name: str
    axes: Axes
    shape: tuple[int, ...]  # in the watched forward, after `layout`
    dtype: str
    tap: Tap
    kind: Kind = "canonical"
    reader: Tap | None = None
    layout: Layout | None = None
    lead: Tap | None = None  # the input whose leading dimensions, or whose batch, are folded into one here
    lead_dims: tuple[int, ...] = ()  # which of its dimensions those are; all but the last where none is named

    @cached_property
    def layer(self) -> int | None:
        """The number of the block that the name speaks of, if it speaks of one."""
        found = split_block(self.name)
        return found[1] if found else None

    @property
    def needs_stand_in(self) -> bool:
        """Whether the model computes this value only when a stand-in is put in place."""
        return self.tap.side == "inside"
