"""Writes rows one input after the other, file by file, so that at any moment what was committed is whole."""

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from anylens.core.errors import StoreError
from anylens.store.assembly import Assembly
from anylens.store.manifest import Manifest
from anylens.store.rows import Rows
from anylens.store.shards import SHARD_BYTES, bytes_of, columns_of, inputs_per_shard, pack
from anylens.store.storage import OnDisk, Storage, storage_at


class Writer:
    """Takes the rows of one input after the other. A file holds whole inputs, so that a run resumes at an input.

    Opened on a folder where the same harvest was cut off, it goes on behind the last file: `inputs` and `samples`
    say how many to skip. On disk it holds a lock; at a URL two writers do the work twice and harm nothing.
    """

    def __init__(
        self,
        folder: Path | str | Storage,
        origin: Mapping[str, Any],
        *,
        shard_bytes: int = SHARD_BYTES,
        count: int | None = None,
    ) -> None:
        """Open a folder, which is made if there is none.

        Args:
            folder: a path or a URL.
            origin: what the rows are made from.
            shard_bytes: the size of a file, about.
            count: how many inputs there are, where that is known; a small harvest then has some files all the same.
        """
        self.storage = storage_at(folder)
        self.shard_bytes, self._count = shard_bytes, count
        with ExitStack() as stack:
            try:
                self.storage.make()
            except StoreError as error:
                raise StoreError(f"{self.storage} cannot be a store of rows: {error}") from error
            stack.enter_context(self.storage.alone())
            self._assembly = Assembly(self.storage, origin)
            if isinstance(self.storage, OnDisk):  # nobody else is in it
                self._assembly.sweep()
            self._open = stack.pop_all()
        self._go_on()

    @property
    def manifest(self) -> Manifest:
        """What there is."""
        return self._assembly.manifest

    def _go_on(self) -> None:
        """Go on behind what can be read."""
        self.inputs, self.samples = self.manifest.inputs, self.manifest.samples
        self._first = (self.inputs, self.samples)
        self._pending: dict[str, list[Rows]] = {}

    def add(self, rows: Mapping[str, Rows], axes: Mapping[str, tuple[str, ...]], samples: int) -> None:
        """Take the rows of the next input, by point, with the axes of their places.

        Raises StoreError if a point's rows have another width or dtype than before.
        """
        self._assembly.begin(inputs_per_shard(bytes_of(rows), self.shard_bytes, self._count))
        columns = columns_of(rows, axes)
        self._assembly.expect(columns, self.inputs)
        for point, some in rows.items():
            self._pending.setdefault(point, []).append(replace(some, sample=some.sample - self._first[1]))
        self.inputs += 1
        self.samples += samples
        if self.inputs - self._first[0] == self.manifest.per_shard:
            self.commit()

    def commit(self) -> None:
        """Write what is pending as a file, and list it."""
        if self.inputs == self._first[0]:
            return
        packed = pack(
            self._pending,
            self.manifest.columns,
            number=self._first[0] // self.manifest.per_shard,
            inputs=(self._first[0], self.inputs),
            samples=self.samples - self._first[1],
        )
        self._assembly.commit(packed)
        self._go_on()

    def finish(self) -> Manifest:
        """Write the rest, and mark the store complete."""
        self.commit()
        return self._assembly.finish()

    def close(self) -> None:
        """Let go of the folder. What is pending is not written: a run that resumes makes it again."""
        with self._open:
            self._assembly.save()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: Any, __: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            with self._open, suppress(StoreError):
                self._assembly.save()
