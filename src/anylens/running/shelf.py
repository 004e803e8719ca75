"""Where captured values go: as they are, to another device or dtype, or to a folder on disk."""

import contextlib
import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from anylens.core.errors import RunError
from anylens.running.capture import To, targets


@dataclass(frozen=True)
class Shelf:
    """A tensor in a file."""

    file: Path

    def drop(self) -> None:
        """Remove the file: the value turned out not to be wanted."""
        self.file.unlink(missing_ok=True)

    def read(self) -> torch.Tensor:
        """Read it back; RunError names the file if that is gone or damaged."""
        try:
            with safe_open(str(self.file), "pt") as held:
                value: torch.Tensor = held.get_tensor("value")
                return value
        except (OSError, SafetensorError) as error:
            raise RunError(f"The captured value in {self.file} cannot be read: {error}.") from error


@dataclass(frozen=True)
class Target:
    """A device and dtype for copies, and a folder if they go to disk, under names that no other recording has."""

    to: tuple[To, ...] = ()
    folder: Path | None = None
    count: Callable[[], int] = field(default_factory=lambda: itertools.count().__next__)
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    def keep(self, value: torch.Tensor, name: str) -> torch.Tensor | Shelf:
        """Keep a value here or on disk; RunError if the disk does not take it."""
        if self.folder is None:
            return value
        file = self.folder / f"{self.run}-{self.count():06d}.safetensors"
        part = file.with_suffix(".part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file({"value": value.cpu()}, part, metadata={"name": name})
            part.replace(file)
        except (OSError, SafetensorError) as error:
            with contextlib.suppress(OSError):
                part.unlink()
            raise RunError(f"{name} could not be written to {file}: {error}.") from error
        return Shelf(file)


def target_of(to: To | Path | tuple[To | Path, ...]) -> Target:
    """Read `to=`: a device, a dtype, a folder (a `pathlib.Path`), or several of these."""
    given = tuple(to) if isinstance(to, (tuple, list)) else (to,)
    folders = [one for one in given if isinstance(one, Path)]
    if len(folders) > 1:
        raise RunError(f"to takes one folder, and was given {len(folders)}.")
    others = tuple(one for one in given if not isinstance(one, Path))
    try:
        moved = targets(others)
    except RunError as error:
        raise RunError(f"{str(error).rstrip('.')}. A folder is a pathlib.Path.") from error
    return Target(moved, folders[0] if folders else None)
