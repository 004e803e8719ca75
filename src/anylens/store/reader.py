"""Reads rows back: the files of a folder, checked, or a tensor in memory, by the same calls."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load

from anylens.core.errors import DamagedShardError, StoreError
from anylens.core.suggest import nearest
from anylens.store.ahead import Ahead
from anylens.store.manifest import Shard, read_manifest
from anylens.store.rows import Rows
from anylens.store.storage import OnDisk, Storage, storage_at


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

    def expect(self, blocks: Sequence[int]) -> None:
        """Take note of the block that is read now and those that come next, in order."""
        ...


class Store:
    """A folder of rows, as `anylens.harvest` writes it, at a path or a URL."""

    def __init__(self, folder: Path | str | Storage) -> None:
        self.folder = storage_at(folder)
        self.manifest = read_manifest(self.folder)
        self._checked: set[str] = set()

    @property
    def points(self) -> tuple[str, ...]:
        """The points that it holds rows of."""
        return tuple(self.manifest.columns)

    def count(self, point: str) -> int:
        """Return how many rows a point has."""
        return self.manifest.count(self._known(point))

    def column(self, point: str, *, ahead: int = 2) -> "StoredColumn":
        """Return the rows of one point, to be read in blocks.

        While a block is used, `ahead` more are read in the background and held in memory; 0 reads each when needed.
        """
        return StoredColumn(self, self._known(point), ahead=ahead)

    def check(self) -> None:
        """Check every file against its checksum; DamagedShardError names the first that does not match."""
        for shard in self.manifest.shards:
            self._check(shard, self._content(shard) if not isinstance(self.folder, OnDisk) else None)

    def slices(self, number: int, point: str, start: int, stop: int | None) -> list[torch.Tensor]:
        """Return some rows of a file: values, samples, places. The file is checked when it is read for the first time.

        On disk only what is asked for is read; at a URL the whole file is.
        """
        shard = self.manifest.shards[number]
        names = [f"{part}/{point}" for part in ("values", "sample", "where")]
        try:
            if isinstance(self.folder, OnDisk):
                self._check(shard)
                with safe_open(str(self.folder.path / shard.file), "pt") as held:
                    return [held.get_slice(name)[start:stop] for name in names]
            content = self._content(shard)
            self._check(shard, content)
            tensors = load(content)
            return [tensors[name][start:stop] for name in names]
        except (OSError, SafetensorError, KeyError) as error:
            raise DamagedShardError(f"{self.folder}/{shard.file} cannot be read: {error}.") from error

    def _content(self, shard: Shard) -> bytes:
        try:
            return self.folder.read(shard.file)
        except OSError as error:
            raise DamagedShardError(f"{self.folder}/{shard.file} cannot be read: {error}.") from error

    def _check(self, shard: Shard, content: bytes | None = None) -> None:
        """Check a file, once in the life of this object where it is on disk, and whenever it comes from a URL."""
        if content is None and shard.file in self._checked:
            return
        file = f"{self.folder}/{shard.file}"
        try:
            if content is None:
                with Path(file).open("rb") as handle:
                    found = hashlib.file_digest(handle, "sha256").hexdigest()
            else:
                found = hashlib.file_digest(io.BytesIO(content), "sha256").hexdigest()
        except OSError as error:
            raise DamagedShardError(f"{file} cannot be read: {error}.") from error
        if found != shard.sha256:
            raise DamagedShardError(
                f"{file} is damaged or foreign: its SHA-256 is {found[:12]}..., and the manifest says "
                f"{shard.sha256[:12]}.... Harvest again into another folder."
            )
        self._checked.add(shard.file)

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
    """The rows of one point of a store. A block is a file.

    Attributes:
        ahead: reads the blocks that come next; `ahead.waited` says for how long a block had to be waited for.
    """

    def __init__(self, store: Store, point: str, *, ahead: int = 2) -> None:
        self.store, self.point = store, point
        self.sizes = [shard.rows.get(point, 0) for shard in store.manifest.shards]
        column = store.manifest.columns[point]
        self.width, self.axes = column.width, tuple(column.axes)
        self.ahead = Ahead(self._whole, most=ahead)
        self._last: tuple[int, Rows] | None = None

    def expect(self, blocks: Sequence[int]) -> None:
        """Begin to read the blocks that come next."""
        self.ahead.expect(blocks)

    def read(self, block: int, start: int, stop: int) -> Rows:
        """Return some rows of a block."""
        held = self.ahead.take(block)
        if held is None and isinstance(self.store.folder, OnDisk):
            return self._rows(block, start, stop)
        if held is None:  # from a URL a file comes as a whole
            if self._last is None or self._last[0] != block:
                self._last = block, self._whole(block)
            held = self._last[1]
        return held[start:stop]

    def _whole(self, block: int) -> Rows:
        return self._rows(block, 0, None)

    def _rows(self, block: int, start: int, stop: int | None) -> Rows:
        first = self.store.manifest.shards[block].samples[0]
        values, sample, where = self.store.slices(block, self.point, start, stop)
        return Rows(values, sample + first, where, self.axes)


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

    def expect(self, blocks: Sequence[int]) -> None:
        """Do nothing: it is all there."""
