"""The anatomy: what one watched forward pass says about a model, as frozen data."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

from anylens.anatomy.codec import plain, read
from anylens.anatomy.points import Point, Rule
from anylens.core.errors import AnatomyError
from anylens.core.tree import Key

FORMAT = 6  # of the JSON that an anatomy is kept as


@dataclass(frozen=True)
class Tensor:
    """A tensor that enters or leaves a module or an operation, as it was in the watched forward."""

    key: Key
    shape: tuple[int, ...]
    dtype: str
    axes: tuple[str, ...]


@dataclass(frozen=True)
class CallRecord:
    """The tensors of one call of a module."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class ModuleRecord:
    """What was seen of one module: each of its calls in the forward, counted within the module at `within`."""

    path: str
    kind: str
    within: str
    each: tuple[CallRecord, ...]
    strays: tuple[str, ...] = ()  # modules it calls that are held elsewhere

    @property
    def calls(self) -> int:
        """How often the module was called."""
        return len(self.each)


@dataclass(frozen=True)
class OpRecord:
    """One operation of a module's forward, with the rule that finds it again."""

    path: str
    turn: int | None
    calls: int
    within: str
    name: str  # the function and its count in the scope: `add.1`
    rule: Rule
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class FunctionRecord:
    """A call of a function that has a stand-in, in a module's forward, with the labels of its results."""

    path: str
    rule: Rule
    labels: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class BlockRecord:
    """One block of a stream: the module it is a call of, and what it does to the stream.

    A block that is no module has `parts`, the calls it is made of; `path` is then what holds them.
    """

    path: str
    turn: int
    kind: str
    writes: tuple[str, ...]
    sums: tuple[int, ...] = ()  # how many of the writes each add on the stream adds at once
    parts: tuple[tuple[str, int], ...] | None = None  # path and turn of each

    @property
    def calls(self) -> tuple[tuple[str, int], ...]:
        """Path and turn of the calls that make the block: its own, or those of its parts, if it has some."""
        return ((self.path, self.turn),) if self.parts is None else self.parts

    @property
    def mids(self) -> tuple[str, ...]:
        """The names of the stream's states between its adds, in order."""
        kinds, rest = [], list(self.writes)
        for count in self.sums[:-1]:
            kinds.append(frozenset(rest[:count]))
            del rest[:count]
        return mid_names(kinds)


def mid_names(kinds: Sequence[frozenset[str]]) -> tuple[str, ...]:
    """Name the states behind all adds but the last, given the kinds of writes that each add adds."""
    found: list[str] = []
    for number, some in enumerate(kinds):
        crossed = "cross_attn" in some and number > 0 and "hook_resid_mid_cross" not in found
        again = f"hook_resid_mid[{number}]" if "hook_resid_mid" in found else "hook_resid_mid"
        found.append("hook_resid_mid_cross" if crossed else again)
    return tuple(found)


@dataclass(frozen=True)
class StreamRecord:
    """A residual stream: its prefix in names, its blocks, and what stands before and behind them."""

    prefix: str
    axes: tuple[str, ...]
    blocks: tuple[BlockRecord, ...]
    norm: str = ""  # path of the norm after the last block
    unembed: str = ""  # path of the linear map to the output
    entry: str = ""  # the argument by which it enters its blocks; empty where they join several


@dataclass(frozen=True)
class Anatomy:
    """The structure of a model. `key` says of which model, under which versions of the libraries."""

    key: str
    streams: tuple[StreamRecord, ...] = ()
    canonical: tuple[Point, ...] = ()
    absent: tuple[tuple[str, str], ...] = ()
    modules: tuple[ModuleRecord, ...] = ()
    ops: tuple[OpRecord, ...] = ()
    functions: tuple[FunctionRecord, ...] = ()
    versions: tuple[tuple[str, str], ...] = field(default=())

    def to_json(self) -> str:
        """Write it as JSON."""
        return json.dumps({"format": FORMAT, "anatomy": plain(self)}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Anatomy":
        """Read one back.

        Raises AnatomyError for text that is not an anatomy of this format.
        """
        try:
            data = json.loads(text)
            if not isinstance(data, dict) or data.get("format") != FORMAT:
                raise AnatomyError(
                    f"This is no anatomy of format {FORMAT}. Attach with an example to make it anew."
                )
            return cast(Anatomy, read(cls, data["anatomy"]))
        except (ValueError, TypeError, KeyError) as error:
            raise AnatomyError(
                f"No anatomy can be read: {error}. Attach with an example to make it anew."
            ) from error

    @cached_property
    def by_path(self) -> dict[str, ModuleRecord]:
        """The modules that were called, by path."""
        return {record.path: record for record in self.modules}

    def labels_of(self, path: str, key: str, count: int) -> tuple[tuple[str, ...], ...]:
        """The labels of what a function called in a module's forward gave, by its count there."""
        found = (one for one in self.functions if (one.path, one.rule.function) == (path, key))
        return next((one.labels for one in found if one.rule.index == count), ())

    @cached_property
    def functions_below(self) -> dict[str, set[str]]:
        """For each module, the functions that run in the forwards of the modules inside it."""
        found: dict[str, set[str]] = {}
        records: tuple[OpRecord | FunctionRecord, ...] = (*self.ops, *self.functions)
        for one in records:
            path = one.path
            while path:
                path = path.rpartition(".")[0]
                found.setdefault(path, set()).add(one.rule.function)
        return found
