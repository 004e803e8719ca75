"""The manifest of a store: what its rows are, where they came from, and which files hold them. JSON."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from anylens.core.errors import DamagedShardError, StoreError

NAME = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class Column:
    """The rows of one point: how wide, of what dtype, and the axes that a row's place is given on."""

    width: int
    dtype: str
    axes: tuple[str, ...]


@dataclass(frozen=True)
class Shard:
    """One file: its rows by point, its checksum, and the inputs and samples that it holds, ends excluded."""

    file: str
    rows: Mapping[str, int]
    sha256: str
    inputs: tuple[int, int]
    samples: tuple[int, int]


@dataclass(frozen=True)
class Manifest:
    """What a store holds.

    Attributes:
        columns: by point.
        origin: what the rows were made from: model, anatomy, layout, choice of positions; a run that resumes agrees.
        shards: in the order in which they were written.
        complete: whether all inputs were gone through.
    """

    origin: Mapping[str, Any]
    columns: Mapping[str, Column] = field(default_factory=dict)
    shards: tuple[Shard, ...] = ()
    complete: bool = False

    @property
    def inputs(self) -> int:
        """How many inputs are in the files."""
        return self.shards[-1].inputs[1] if self.shards else 0

    @property
    def samples(self) -> int:
        """How many samples are in the files."""
        return self.shards[-1].samples[1] if self.shards else 0

    def count(self, point: str) -> int:
        """Return how many rows a point has."""
        return sum(shard.rows.get(point, 0) for shard in self.shards)

    def with_shard(self, shard: Shard) -> "Manifest":
        """Return the manifest with one more file."""
        return replace(self, shards=(*self.shards, shard))

    def write(self, folder: Path) -> None:
        """Write it so that a reader sees the old one or the new one, whole."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1)
        write_whole(folder / NAME, text.encode())


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a store.

    Raises:
        StoreError: there is none, or it is of another format.
        DamagedShardError: it is damaged.
    """
    file = folder / NAME
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{folder} is no store of rows: it has no {NAME}. Harvest into it first.") from None
    except (OSError, ValueError) as error:
        raise DamagedShardError(f"{file} cannot be read: {error}.") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise StoreError(f"{file} is no manifest of format {FORMAT}.")
    try:
        columns = {
            name: Column(c["width"], c["dtype"], tuple(c["axes"])) for name, c in data["columns"].items()
        }
        shards = tuple(
            Shard(
                s["file"],
                s["rows"],
                s["sha256"],
                (s["inputs"][0], s["inputs"][1]),
                (s["samples"][0], s["samples"][1]),
            )
            for s in data["shards"]
        )
        return Manifest(data["origin"], columns, shards, bool(data["complete"]))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise DamagedShardError(f"{file} is damaged: {type(error).__name__}: {error}.") from error


def write_whole(file: Path, content: bytes) -> None:
    """Write a file under another name, have it reach the disk, and then give it its name.

    Raises StoreError if the disk does not take it; what was there before is still there then.
    """
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(
            f"{file} could not be written: {error}. What was written before is whole; make room and run the same "
            "command again to go on."
        ) from error
