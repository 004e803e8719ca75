"""A store as it comes together from files that are written in any order, by one process or by many.

A file is committed when it has its name. The manifest lists what was committed, and is written now and then: at first
for every file, later for every twentieth part, so that all the times it is written are no more than twenty times it. A
run that was cut off finds the rest by the names of the files. Nothing is ever written over, so two runs of one harvest
at a place that cannot be locked do the work twice and harm nothing.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from anylens.core.errors import StoreError
from anylens.store.manifest import NAME, Column, Manifest, Shard, read_manifest
from anylens.store.shards import Packed, is_shard, look
from anylens.store.storage import PART, Storage

SHARE = 20  # the manifest is written when a twentieth of what it lists is new


class Assembly:
    """The files of one harvest, those of runs that were cut off among them."""

    def __init__(self, storage: Storage, origin: Mapping[str, Any]) -> None:
        """Open a folder, and take up what is in it.

        Raises StoreError if it holds something else: another harvest, or files that are not listed anywhere.
        """
        self.storage = storage
        self._manifest = self._begun(origin)
        self._held = {shard.inputs[0]: shard for shard in (*self._manifest.shards, *self._manifest.ahead)}
        self._new: list[Shard] = []  # not in the manifest yet
        self._unsaved = 0
        if self._manifest.per_shard and not self._manifest.complete:
            self._take_up()

    def _begun(self, origin: Mapping[str, Any]) -> Manifest:
        names = self.storage.names()
        if NAME not in names:
            others = [name for name in names if name.endswith(".safetensors")]
            if others:
                raise StoreError(
                    f"{self.storage} holds {others[0]} but no {NAME}. Harvest into a folder of its own."
                )
            return Manifest(_plain(origin))
        found = read_manifest(self.storage)
        expect_same(f"{self.storage} holds rows of another harvest", found.origin, origin)
        return found

    def _take_up(self) -> None:
        """List the files that were committed and not listed."""
        listed = {shard.file for shard in self._held.values()}
        for name in self.storage.names():
            if is_shard(name) and name not in listed:
                with suppress(StoreError):  # cut short, on a storage that does not write whole files
                    self._list(*look(self.storage, name))

    # -- what there is -------------------------------------------------------------------------------------------

    @property
    def manifest(self) -> Manifest:
        """What was committed; on the storage it may be a little older."""
        if self._new:
            self._manifest = self._manifest.with_shards(self._new)
            self._new = []
        return self._manifest

    def begin(self, per_shard: int) -> None:
        """Say how many inputs a file holds, where that is not said yet. It stays so."""
        if not self._manifest.per_shard:
            self._manifest = replace(self._manifest, per_shard=per_shard)
            self._manifest.write(self.storage)

    def missing(self, count: int) -> Iterator[int]:
        """Yield the numbers of the files that `count` inputs need and that are not there yet.

        Raises StoreError if there is a file of inputs that there are not.
        """
        size = self._manifest.per_shard
        for number in range(-(-count // size)):
            first, stop = number * size, min(count, (number + 1) * size)
            held = self._held.get(first)
            if held is None:
                yield number
            elif held.inputs != (first, stop):
                self._refuse(held, count)
        beyond = max(self._held, default=0)
        if beyond >= max(count, 1):
            self._refuse(self._held[beyond], count)

    def _refuse(self, held: Shard, count: int) -> None:
        raise StoreError(
            f"{self.storage} holds rows of inputs {held.inputs[0]} to {held.inputs[1] - 1} of another harvest: "
            f"there are {count} inputs now. Give the same data, or another folder."
        )

    def expect(self, columns: Mapping[str, Column], number: int) -> None:
        """Refuse rows that are not like those before, naming the input; the first say what rows are like.

        Raises StoreError if a point's rows have another width or dtype.
        """
        for point, column in columns.items():
            known = self._manifest.columns.get(point, column)
            if known != column:
                raise StoreError(
                    f"The rows of {point} were {known}, and those of input {number} are {column}."
                )
        if columns.keys() - self._manifest.columns.keys():
            self._manifest = replace(self._manifest, columns={**self._manifest.columns, **columns})

    # -- committing ----------------------------------------------------------------------------------------------

    def commit(self, packed: Packed) -> bool:
        """Write a file and take it."""
        self.storage.write(packed.shard.file, packed.content)
        return self.add(packed.shard, packed.columns)

    def add(self, shard: Shard, columns: Mapping[str, Column]) -> bool:
        """Take a file that was written; False where its inputs are there already."""
        if not self._list(shard, columns):
            return False
        if self._unsaved >= max(1, len(self._held) // SHARE):
            self.save()
        return True

    def _list(self, shard: Shard, columns: Mapping[str, Column]) -> bool:
        if shard.inputs[0] in self._held or shard.inputs[0] % self._manifest.per_shard:
            return False
        self.expect(columns, shard.inputs[0])
        self._held[shard.inputs[0]] = shard
        self._new.append(shard)
        self._unsaved += 1
        return True

    def save(self) -> None:
        """Write the manifest, if there is something new, and no other run has finished in the meantime."""
        if self._unsaved and not self._finished():
            self.manifest.write(self.storage)
            self._unsaved = 0

    def finish(self) -> Manifest:
        """Mark the store complete, and remove files that it does not list: second attempts, halves."""
        if not self._finished():
            if self.manifest.ahead:
                raise StoreError(
                    f"{self.storage} lacks the rows of input {self.manifest.inputs}. Go on first."
                )
            self._manifest = replace(self.manifest, complete=True)
            self._manifest.write(self.storage)
            self.sweep()
        return self._manifest

    def _finished(self) -> bool:
        """Whether another run has finished, at a place where two can be at work; its manifest counts then."""
        if self._manifest.complete:
            return True
        try:
            found = read_manifest(self.storage)
        except StoreError:  # none yet
            return False
        if found.complete:
            self._manifest, self._new, self._unsaved = found, [], 0
        return found.complete

    def sweep(self) -> None:
        """Remove the files of rows that are not listed."""
        listed = {shard.file for shard in self._held.values()}
        for name in self.storage.names():
            stem = name.removesuffix(PART)
            if stem.startswith("rows-") and stem.endswith(".safetensors") and name not in listed:
                self.storage.remove(name)


def expect_same(what: str, known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse what was made from something else; StoreError names the first difference."""
    known, given = _plain(known), _plain(given)
    differing = sorted(key for key in {*known, *given} if known.get(key) != given.get(key))
    if differing:
        key = differing[0]
        raise StoreError(
            f"{what}: {key} was {known.get(key)!r}, and is now {given.get(key)!r}. Give another folder, or remove "
            "this one."
        )


def _plain(value: Any) -> Any:
    """Return a value as JSON gives it back."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
