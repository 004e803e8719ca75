"""The manifest of a store: what its rows are, where they came from, and which files hold them. JSON."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from anylens.core.errors import DamagedShardError, StoreError
from anylens.store.storage import Storage

NAME = "manifest.json"
FORMAT = 2


@dataclass(frozen=True)
class Column:
    """The rows of one point: how wide, of what dtype, and the axes that a row's place is given on."""

    width: int
    dtype: str
    axes: tuple[str, ...]


@dataclass(frozen=True)
class Shard:
    """One file: its rows by point, its checksum, and the inputs and samples that it holds, ends excluded.

    The file counts its samples from 0; `samples` says which they are of the whole store.
    """

    file: str
    rows: Mapping[str, int]
    sha256: str
    inputs: tuple[int, int]
    samples: tuple[int, int]

    def behind(self, samples: int) -> "Shard":
        """Return it as one whose samples come after so many others."""
        return replace(self, samples=(samples, samples + self.samples[1] - self.samples[0]))


@dataclass(frozen=True)
class Manifest:
    """What a store holds.

    Attributes:
        origin: what the rows were made from: model, anatomy, layout, choice of positions; a run that resumes agrees.
        columns: by point.
        per_shard: how many inputs a file holds, but for the last; 0 before the first input.
        shards: those from the first input on without a gap, in the order of inputs: what can be read.
        ahead: those behind a gap, written by workers that were quicker than others; their samples count from 0.
        complete: whether all inputs were gone through.
    """

    origin: Mapping[str, Any]
    columns: Mapping[str, Column] = field(default_factory=dict)
    per_shard: int = 0
    shards: tuple[Shard, ...] = ()
    ahead: tuple[Shard, ...] = ()
    complete: bool = False

    @property
    def inputs(self) -> int:
        """How many inputs can be read, from the first on."""
        return self.shards[-1].inputs[1] if self.shards else 0

    @property
    def samples(self) -> int:
        """How many samples can be read, from the first on."""
        return self.shards[-1].samples[1] if self.shards else 0

    def count(self, point: str) -> int:
        """Return how many rows of a point can be read."""
        return sum(shard.rows.get(point, 0) for shard in self.shards)

    def with_shards(self, more: Iterable[Shard]) -> "Manifest":
        """Return the manifest with more files, in any order."""
        waiting = {shard.inputs[0]: shard for shard in (*self.ahead, *more)}
        ready, inputs, samples = [], self.inputs, self.samples
        while inputs in waiting:
            shard = waiting.pop(inputs).behind(samples)
            ready.append(shard)
            inputs, samples = shard.inputs[1], shard.samples[1]
        ahead = tuple(waiting[first].behind(0) for first in sorted(waiting))
        return replace(self, shards=(*self.shards, *ready), ahead=ahead)

    def write(self, storage: Storage) -> None:
        """Write it so that a reader sees the old one or the new one, whole."""
        storage.write(NAME, self.text().encode())

    def text(self) -> str:
        """Return it as JSON, a file a line: there may be a hundred thousand."""
        said = {
            "format": FORMAT,
            "origin": self.origin,
            "columns": {point: vars(column) for point, column in self.columns.items()},
            "per_shard": self.per_shard,
            "complete": self.complete,
        }
        lists = [_lines(name, shards) for name, shards in (("shards", self.shards), ("ahead", self.ahead))]
        return json.dumps(said, indent=1).removesuffix("\n}") + "".join(lists) + "\n}\n"


def _lines(name: str, shards: Iterable[Shard]) -> str:
    return f',\n "{name}": [' + ",".join(f"\n  {json.dumps(vars(shard))}" for shard in shards) + "]"


def read_manifest(storage: Storage) -> Manifest:
    """Read the manifest of a store.

    Raises:
        StoreError: there is none, or it is of another format.
        DamagedShardError: it is damaged.
    """
    file = f"{storage}/{NAME}"
    try:
        data = json.loads(storage.read(NAME).decode())
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{storage} is no store of rows: it has no {NAME}. Harvest into it first.") from None
    except (OSError, ValueError) as error:
        raise DamagedShardError(f"{file} cannot be read: {error}.") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise StoreError(f"{file} is no manifest of format {FORMAT}.")
    try:
        return Manifest(
            data["origin"],
            {name: column_of(column) for name, column in data["columns"].items()},
            int(data["per_shard"]),
            tuple(shard_of(one) for one in data["shards"]),
            tuple(shard_of(one) for one in data["ahead"]),
            bool(data["complete"]),
        )
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise DamagedShardError(f"{file} is damaged: {type(error).__name__}: {error}.") from error


def column_of(data: Mapping[str, Any]) -> Column:
    """Return a column as JSON gives it."""
    return Column(data["width"], data["dtype"], tuple(data["axes"]))


def shard_of(data: Mapping[str, Any]) -> Shard:
    """Return a shard as JSON gives it."""
    inputs, samples = data["inputs"], data["samples"]
    return Shard(data["file"], data["rows"], data["sha256"], (inputs[0], inputs[1]), (samples[0], samples[1]))
