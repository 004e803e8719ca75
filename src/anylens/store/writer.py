"""Writes rows to a folder, shard by shard, so that at any moment what the manifest lists is whole."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from safetensors.torch import save

from anylens.core.errors import StoreError
from anylens.store.manifest import NAME, Column, Manifest, Shard, read_manifest, write_whole
from anylens.store.rows import Rows, joined

SHARD_BYTES = 64 * 2**20


class Writer:
    """Takes the rows of one input after the other. A shard holds whole inputs, so that a run resumes at an input.

    Opened on a folder where the same harvest was cut off, it goes on behind the last shard: `inputs` and `samples`
    say how many to skip.
    """

    def __init__(
        self, folder: Path | str, origin: Mapping[str, Any], *, shard_bytes: int = SHARD_BYTES
    ) -> None:
        self.folder = Path(folder)
        self.shard_bytes = shard_bytes
        self._make_folder()
        self._lock = _locked(self.folder)
        try:
            self.manifest = self._begin(origin)
        except BaseException:
            self._lock.close()
            raise
        self.inputs, self.samples = self.manifest.inputs, self.manifest.samples
        self._first = (self.inputs, self.samples)
        self._pending: dict[str, list[Rows]] = {}
        self._pending_bytes = 0

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be a store of rows: {error}.") from error

    def _begin(self, origin: Mapping[str, Any]) -> Manifest:
        if not (self.folder / NAME).exists():
            others = [file.name for file in self.folder.iterdir() if file.suffix == ".safetensors"]
            if others:
                raise StoreError(
                    f"{self.folder} holds {others[0]} but no {NAME}. Harvest into a folder of its own."
                )
            return Manifest(dict(origin))
        found = read_manifest(self.folder)
        differing = sorted(
            key
            for key in {*origin, *found.origin}
            if _plain(origin.get(key)) != _plain(found.origin.get(key))
        )
        if differing:
            key = differing[0]
            raise StoreError(
                f"{self.folder} holds rows of another harvest: {key} was {found.origin.get(key)!r}, and is now "
                f"{origin.get(key)!r}. Give another folder, or remove this one."
            )
        listed = {shard.file for shard in found.shards}
        for file in self.folder.iterdir():  # written, but not listed before the run was cut off
            if file.suffix == ".part" or (file.suffix == ".safetensors" and file.name not in listed):
                file.unlink()
        return found

    def add(self, rows: Mapping[str, Rows], axes: Mapping[str, tuple[str, ...]], samples: int) -> None:
        """Take the rows of the next input, by point, with the axes of their places.

        Raises StoreError if a point's rows have another width or dtype than before.
        """
        for point, some in rows.items():
            column = Column(
                some.values.shape[1], str(some.values.dtype).removeprefix("torch."), tuple(axes[point])
            )
            known = self.manifest.columns.get(point)
            if known is None:
                self.manifest = replace(self.manifest, columns={**self.manifest.columns, point: column})
            elif known != column:
                raise StoreError(
                    f"The rows of {point} were {known}, and those of input {self.inputs} are {column}."
                )
            self._pending.setdefault(point, []).append(some)
            self._pending_bytes += some.bytes
        self.inputs += 1
        self.samples += samples
        if self._pending_bytes >= self.shard_bytes:
            self.commit()

    def commit(self) -> None:
        """Write what is pending as a shard, and list it."""
        if self.inputs == self._first[0]:
            return
        tensors: dict[str, torch.Tensor] = {}
        for point, parts in self._pending.items():
            rows = joined(parts)
            tensors |= {
                f"values/{point}": rows.values.contiguous(),
                f"sample/{point}": rows.sample.contiguous(),
                f"where/{point}": rows.where.contiguous(),
            }
        content = save(tensors)
        file = f"rows-{len(self.manifest.shards):06d}.safetensors"
        write_whole(self.folder / file, content)
        shard = Shard(
            file,
            {point: sum(map(len, parts)) for point, parts in self._pending.items()},
            hashlib.sha256(content).hexdigest(),
            (self._first[0], self.inputs),
            (self._first[1], self.samples),
        )
        listed = self.manifest.with_shard(shard)
        listed.write(self.folder)
        self.manifest = listed
        self._first = (self.inputs, self.samples)
        self._pending, self._pending_bytes = {}, 0

    def finish(self) -> Manifest:
        """Write the rest, and mark the store complete."""
        self.commit()
        self.manifest = replace(self.manifest, complete=True)
        self.manifest.write(self.folder)
        return self.manifest

    def close(self) -> None:
        """Let go of the folder. What is pending is not written: a run that resumes makes it again."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: Any, __: TracebackType | None) -> None:
        self.close()


def _plain(value: Any) -> Any:
    """Return a value as JSON gives it back."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


class _Lock:
    """A lock on a folder that goes with the process that holds it."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def close(self) -> None:
        """Unlock."""
        self._handle.close()


def _locked(folder: Path) -> _Lock:
    """Lock a folder for one writer; StoreError if another one is at work."""
    handle = (folder / ".lock").open("a")
    if os.name == "posix":
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            raise StoreError(f"Another process is writing to {folder}.") from None
    return _Lock(handle)
