"""Where files are kept: a folder on this computer or at a URL. A file is written whole or not at all.

`storage_at` turns what a user writes into one of the two. On disk a file gets its name once its content has reached the
disk. At a URL of an object store a put is whole by itself; other file systems get the file under another name first.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from anylens.core.errors import MissingExtraError, StoreError
from anylens.core.optional import require

EXTRAS = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3"), "gs": ("gcsfs", "gcs"), "gcs": ("gcsfs", "gcs")}
WHOLE = {
    "memory",
    "s3",
    "s3a",
    "gs",
    "gcs",
    "abfs",
    "abfss",
    "az",
    "adl",
    "oci",
    "oss",
}  # where a put is whole
PART = ".part"


class Storage(ABC):
    """A folder of files, without folders in it. `str` gives its path or URL."""

    @abstractmethod
    def make(self) -> None:
        """Make the folder, if there is none; StoreError where that cannot be."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of the files in it, sorted; none where there is no such folder."""

    @abstractmethod
    def read(self, name: str, start: int | None = None, stop: int | None = None) -> bytes:
        """Return what a file holds, or some of its bytes.

        Raises FileNotFoundError, or another OSError where it cannot be read.
        """

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all; StoreError where the storage does not take it."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Return how many bytes a file has; FileNotFoundError if there is none."""

    @abstractmethod
    def alone(self) -> Any:
        """Return a context in which no other process enters this; StoreError if one is in it.

        At a URL nothing is locked: what is kept there must bear two writers.
        """


@final
@dataclass(frozen=True)
class OnDisk(Storage):
    """A folder on this computer, or one that several computers share."""

    path: Path

    def make(self) -> None:
        """Make it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be a folder: {error}.") from error

    def names(self) -> list[str]:
        """List it."""
        return sorted(file.name for file in self.path.iterdir()) if self.path.is_dir() else []

    def read(self, name: str, start: int | None = None, stop: int | None = None) -> bytes:
        """Read a file."""
        with (self.path / name).open("rb") as handle:
            handle.seek(start or 0)
            return handle.read() if stop is None else handle.read(stop - (start or 0))

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""
        write_whole(self.path / name, content)

    def remove(self, name: str) -> None:
        """Remove a file."""
        (self.path / name).unlink(missing_ok=True)

    def size(self, name: str) -> int:
        """Return its size."""
        return (self.path / name).stat().st_size

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold a lock that goes with the process."""
        with (self.path / ".lock").open("a") as handle:
            if os.name == "posix":
                import fcntl

                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    raise StoreError(f"Another process is writing to {self.path}.") from None
            yield

    def __str__(self) -> str:
        return str(self.path)


@final
@dataclass(frozen=True)
class AtUrl(Storage):
    """A folder at a URL that fsspec knows: `s3://bucket/rows`, `gs://...`, `memory://...`."""

    url: str
    system: Any = field(repr=False, compare=False)
    path: str = field(repr=False, compare=False)

    def make(self) -> None:
        """Make it, where folders are made at all: an object store has none."""
        if self.protocol not in WHOLE:
            with _told(self.url, "be made"):
                self.system.makedirs(self.path, exist_ok=True)

    def names(self) -> list[str]:
        """List it."""
        try:
            found = self.system.ls(self.path, detail=False)
        except FileNotFoundError:
            return []
        except Exception as error:
            raise StoreError(f"{self.url} cannot be listed: {_line(error)}") from error
        return sorted(str(name).rstrip("/").rpartition("/")[2] for name in found)

    def read(self, name: str, start: int | None = None, stop: int | None = None) -> bytes:
        """Read a file."""
        with _as_oserror():
            content: bytes = self.system.cat_file(f"{self.path}/{name}", start=start, end=stop)
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""
        file = f"{self.path}/{name}"
        with _told(f"{self.url}/{name}", "be written"):
            if self.protocol in WHOLE:
                self.system.pipe_file(file, content)
            else:
                self.system.pipe_file(file + PART, content)
                self.system.mv(file + PART, file)

    def remove(self, name: str) -> None:
        """Remove a file."""
        try:
            self.system.rm_file(f"{self.path}/{name}")
        except FileNotFoundError:
            pass
        except Exception as error:
            raise StoreError(f"{self.url}/{name} could not be removed: {_line(error)}") from error

    def size(self, name: str) -> int:
        """Return its size."""
        with _as_oserror():
            size = int(self.system.info(f"{self.path}/{name}")["size"])
        return size

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold nothing."""
        yield

    @property
    def protocol(self) -> str:
        """What stands before `://`."""
        return self.url.partition("://")[0]

    def __str__(self) -> str:
        return self.url


def storage_at(where: "Path | str | Storage") -> Storage:
    """Return the storage that a path or a URL names. Nothing is made yet.

    Raises:
        StoreError: fsspec does not know such a URL.
        MissingExtraError: the library for it is not installed.
    """
    if isinstance(where, Storage):
        return where
    protocol, mark, rest = str(where).partition("://")
    if isinstance(where, Path) or not mark:
        return OnDisk(Path(where).expanduser())
    if protocol in ("file", "local"):
        return OnDisk(Path("/" + rest.lstrip("/")))
    url = str(where).rstrip("/")
    fsspec = require("fsspec", extra="s3")
    try:
        system, path = fsspec.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        library, extra = EXTRAS.get(protocol, ("", ""))
        if not library:
            raise StoreError(f"{url} cannot be reached: {_line(error)}") from error
        raise MissingExtraError.of(library, extra=extra) from error
    except Exception as error:
        raise StoreError(f"{url} cannot be reached: {_line(error)}") from error
    return AtUrl(url, system, str(path).rstrip("/"))


def write_whole(file: Path, content: bytes) -> None:
    """Write a file under another name, have it reach the disk, and then give it its name.

    Raises StoreError if the disk does not take it; what was there before is still there then.
    """
    part = file.with_name(file.name + PART)
    try:
        with part.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(_untaken(str(file), error)) from error


@contextmanager
def _told(what: str, how: str) -> Iterator[None]:
    """Turn whatever a file system raises into our error: each has errors of its own."""
    try:
        yield
    except Exception as error:
        raise StoreError(
            _untaken(what, error) if how == "be written" else f"{what} cannot {how}: {_line(error)}"
        ) from error


@contextmanager
def _as_oserror() -> Iterator[None]:
    """Turn whatever a file system raises where it reads into an OSError, as on disk."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(_line(error)) from error


def _untaken(file: str, error: Exception) -> str:
    return (
        f"{file} could not be written: {error}. What was written before is whole; make room and run the same "
        "command again to go on."
    )


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
