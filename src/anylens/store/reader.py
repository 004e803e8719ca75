"""Reads rows back: the files of a folder, checked, or a tensor in memory, by the same two calls."""

import hashlib
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open

from anylens.core.errors import DamagedShardError, StoreError
from anylens.core.suggest import nearest
from anylens.store.manifest import read_manifest
from anylens.store.rows import Rows


class Source(Protocol):
    """Rows in blocks that can be read in any order."""

    @property
    def sizes(self) -> list[int]:
        """The rows in each block."""
        ...

    @property
    def width(self) -> int:
        """The length of a row."""
        ...

    def read(self, block: int, start: int, stop: int) -> Rows:
        """Return some rows of a block."""
        ...


class Store:
    """A folder of rows, as `anylens.harvest` writes it."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        self._checked: set[str] = set()

    @property
    def points(self) -> tuple[str, ...]:
        """The points that it holds rows of."""
        return tuple(self.manifest.columns)

    def count(self, point: str) -> int:
        """Return how many rows a point has."""
        return self.manifest.count(self._known(point))

    def column(self, point: str) -> "StoredColumn":
        """Return the rows of one point, to be read in blocks."""
        return StoredColumn(self, self._known(point))

    def check(self) -> None:
        """Check every file against its checksum; DamagedShardError names the first that does not match."""
        for number in range(len(self.manifest.shards)):
            self.check_shard(number)

    def check_shard(self, number: int) -> Path:
        """Check one file, once in the life of this object, and return its path."""
        shard = self.manifest.shards[number]
        file = self.folder / shard.file
        if shard.file not in self._checked:
            try:
                with file.open("rb") as handle:
                    found = hashlib.file_digest(handle, "sha256").hexdigest()
            except OSError as error:
                raise DamagedShardError(f"{file} cannot be read: {error}.") from error
            if found != shard.sha256:
                raise DamagedShardError(
                    f"{file} is damaged or foreign: its SHA-256 is {found[:12]}..., and the manifest says "
                    f"{shard.sha256[:12]}.... Harvest again into another folder."
                )
            self._checked.add(shard.file)
        return file

    def _known(self, point: str) -> str:
        if point not in self.manifest.columns:
            close = nearest(point, self.points) or list(self.points)
            raise StoreError(
                f"{self.folder} holds no rows of {point!r}. It holds {', '.join(close) or 'none'}."
            )
        return point

    def __repr__(self) -> str:
        state = "" if self.manifest.complete else ", not complete"
        lines = [f"Store of {len(self.manifest.shards)} shards in {self.folder}{state}"]
        lines += [
            f"  {point}  {self.count(point):,} rows of {column.width} {column.dtype}, by {' '.join(column.axes)}"
            for point, column in self.manifest.columns.items()
        ]
        return "\n".join(lines)


class StoredColumn:
    """The rows of one point of a store. A block is a shard."""

    def __init__(self, store: Store, point: str) -> None:
        self.store, self.point = store, point
        self.sizes = [shard.rows.get(point, 0) for shard in store.manifest.shards]
        column = store.manifest.columns[point]
        self.width, self.axes = column.width, tuple(column.axes)

    def read(self, block: int, start: int, stop: int) -> Rows:
        """Return some rows of a shard, whose file is checked when it is read for the first time."""
        file = self.store.check_shard(block)
        try:
            with safe_open(str(file), "pt") as held:
                names = (f"{part}/{self.point}" for part in ("values", "sample", "where"))
                values, sample, where = (held.get_slice(name)[start:stop] for name in names)
        except (OSError, SafetensorError) as error:
            raise DamagedShardError(f"{file} cannot be read: {error}.") from error
        return Rows(values, sample, where, self.axes)


class InMemory:
    """Rows in a tensor `[row, width]`; without provenance, the sample of a row is its number."""

    BLOCK = 65_536

    def __init__(
        self, values: torch.Tensor, sample: torch.Tensor | None = None, where: torch.Tensor | None = None
    ) -> None:
        if values.ndim != 2:
            raise StoreError(f"Rows are a tensor [row, width], and {list(values.shape)} was given.")
        count = len(values)
        self.rows = Rows(
            values,
            torch.arange(count) if sample is None else sample,
            torch.zeros(count, 1, dtype=torch.int32) if where is None else where,
        )
        self.sizes = [min(self.BLOCK, count - start) for start in range(0, count, self.BLOCK)]
        self.width = values.shape[1]

    def read(self, block: int, start: int, stop: int) -> Rows:
        """Return some rows of a block."""
        first = block * self.BLOCK
        return self.rows[first + start : first + stop]
