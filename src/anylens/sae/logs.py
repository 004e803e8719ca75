"""Where a training's numbers go: a file of JSON lines, and TensorBoard or wandb where they are asked for."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from anylens.core.errors import SaeError
from anylens.core.optional import require

LOG = "log.jsonl"
Line = Mapping[str, float]


class Log(Protocol):
    """Takes the numbers of a step."""

    def write(self, line: Line) -> None:
        """Take a line: `step`, and numbers by name."""
        ...

    def close(self) -> None:
        """Finish."""
        ...


class Lines:
    """A file of JSON, a line for a step."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / LOG

    def write(self, line: Line) -> None:
        """Append the line."""
        with self.file.open("a", encoding="utf-8") as log:
            log.write(json.dumps(dict(line)) + "\n")

    def close(self) -> None:
        """Nothing is open between lines."""


class TensorBoard:
    """Event files in the folder, `tensorboard --logdir FOLDER`."""

    def __init__(self, folder: Path) -> None:
        require("tensorboard", extra="tensorboard")
        self._writer: Any = require("torch.utils.tensorboard", extra="tensorboard").SummaryWriter(str(folder))

    def write(self, line: Line) -> None:
        """Add a scalar for each number."""
        for name, value in line.items():
            if name != "step":
                self._writer.add_scalar(name, value, int(line["step"]))

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()


class Wandb:
    """A run of a wandb project."""

    def __init__(self, folder: Path, project: str) -> None:
        self._run: Any = require("wandb", extra="wandb").init(project=project, dir=str(folder))

    def write(self, line: Line) -> None:
        """Log the numbers."""
        self._run.log({name: value for name, value in line.items() if name != "step"}, step=int(line["step"]))

    def close(self) -> None:
        """End the run."""
        self._run.finish()


def logs_of(folder: Path | None, also: Iterable[str] = ()) -> list[Log]:
    """Return the logs of a training: none without a folder.

    Raises SaeError for a log that there is not or that lacks a folder, MissingExtraError for one that is not installed.
    """
    wanted = [name.partition(":")[::2] for name in also]
    for name, project in wanted:
        if name not in ("tensorboard", "wandb") or (project and name != "wandb"):
            raise SaeError(f"No log is named {name!r}. There is tensorboard, wandb and wandb:PROJECT.")
    if folder is None:
        if wanted:
            raise SaeError(f"{wanted[0][0]} needs folder=..., for its files.")
        return []
    more: list[Log] = [
        TensorBoard(folder) if name == "tensorboard" else Wandb(folder, project or "anylens")
        for name, project in wanted
    ]
    return [Lines(folder), *more]
