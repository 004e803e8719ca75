"""What is to be harvested, as it can be sent to another computer: how to make the lens and the data, not these."""

import hashlib
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import torch

from anylens.core.errors import StoreError
from anylens.core.seeding import seeded
from anylens.core.tree import leaves, replace
from anylens.harvest.job import Job, samples_of
from anylens.lens import Lens
from anylens.loading import load
from anylens.pipelines import components, is_pipeline
from anylens.store.manifest import Column, Shard
from anylens.store.rows import Rows
from anylens.store.shards import bytes_of, columns_of, pack
from anylens.store.storage import storage_at

LOOKED_AT = 64  # numbers of each weight, to tell one model from another
Given = TypeVar("Given")


@dataclass(frozen=True)
class Work:
    """What `anylens.harvest` was asked for.

    Attributes:
        lens: makes the lens.
        data: the inputs, or a function that returns them.
        to: the path or URL of the folder.
        how: points, positions, steps, method and dtype.
        weights: the fingerprint of the weights that the lens must have; empty for any.
    """

    lens: Callable[[], Lens]
    data: Any
    to: str
    how: Mapping[str, Any] = field(default_factory=dict)
    weights: str = ""


@dataclass(frozen=True)
class Begun:
    """What a worker says when it is ready."""

    origin: Mapping[str, Any]
    count: int


@dataclass(frozen=True)
class Made:
    """What a worker says of a block that it has written."""

    shard: Shard
    columns: Mapping[str, Column]


class Worker:
    """Makes the lens once, and then writes block after block. Knows nothing of a cluster."""

    def __init__(self, work: Work, *, threads: int = 0, device: str = "") -> None:
        self.work, self.threads, self.device = work, threads, device

    def begin(self) -> Begun:
        """Make the lens and the data.

        Raises StoreError if they are not what was meant: other weights, data that cannot be taken in any order.
        """
        if self.threads:
            torch.set_num_threads(self.threads)
        lens = self.work.lens()
        if self.work.weights and fingerprint(lens) != self.work.weights:
            raise StoreError(
                f"The {type(lens.model).__name__} in memory has other weights than the one that is loaded by its name. "
                "Give a function that makes the lens as you mean it."
            )
        if self.device:
            for module in _modules(lens):
                module.to(self.device)
        self.data = expect_sequence(made(self.work.data))
        self.job = Job.of(lens, **self.work.how)
        self.storage = storage_at(self.work.to)
        return Begun(self.job.origin(), len(self.data))

    def bytes_of_first(self) -> int:
        """Return how many bytes the rows of the first input take."""
        return bytes_of(self._rows(0, 0)[0])

    def make(self, block: int, per_shard: int) -> Made:
        """Write the rows of a block of inputs as a file."""
        inputs = (block * per_shard, min(len(self.data), (block + 1) * per_shard))
        parts: dict[str, list[Rows]] = {}
        columns: Mapping[str, Column] = {}
        samples = 0
        for number in range(*inputs):
            rows, count = self._rows(number, samples)
            columns = columns_of(rows, self.job.axes())
            for point, some in rows.items():
                parts.setdefault(point, []).append(some)
            samples += count
        packed = pack(parts, columns, number=block, inputs=inputs, samples=samples)
        self.storage.make()
        self.storage.write(packed.shard.file, packed.content)
        return Made(packed.shard, columns)

    def _rows(self, number: int, first: int) -> tuple[Mapping[str, Rows], int]:
        given = self.job.arguments(self.data[number])
        if self.device:
            for key, tensor in list(leaves(given)):
                given = replace(given, key, tensor.to(self.device))
        with seeded(number):
            return self.job.rows(given, first=first), samples_of(given)


def work_of(lens: Lens | str | Path | Callable[[], Lens], data: Any, *, to: Path | str, **how: Any) -> Work:
    """Return the work as it can be sent.

    Raises StoreError for a lens in memory that nobody knows how to make again.
    """
    where = str(to) if "://" in str(to) else str(Path(str(to)).expanduser().resolve())
    if not isinstance(lens, Lens):
        return Work(maker(lens), data, where, how)
    if lens.made_by is None:
        raise StoreError(
            f"Each worker makes the lens itself, and nobody knows how this one on {type(lens.model).__name__} was "
            "made. Give a name for anylens.load, or a function that returns the lens, in its place."
        )
    return Work(lens.made_by, data, where, how, fingerprint(lens))


def maker(lens: str | Path | Callable[[], Lens]) -> Callable[[], Lens]:
    """Return a function that makes a lens: the one given, or `anylens.load` of a name."""
    return lens if callable(lens) else partial(load, lens)


def made(given: Given | Callable[[], Given]) -> Given:
    """Return a thing that was given itself or as a function that makes it."""
    return given() if callable(given) else given


def expect_sequence(data: Any) -> Sequence[Any]:
    """Refuse data that cannot be taken in any order."""
    if isinstance(data, (Mapping, torch.Tensor, str)) or not (
        isinstance(data, Sized) and hasattr(data, "__getitem__")
    ):
        raise StoreError(
            f"Workers take inputs in any order, and the data are a {type(data).__name__}. Give a list, or anything "
            "with a length and an index, or a function that returns such."
        )
    return cast("Sequence[Any]", data)  # all that is used of one


def fingerprint(lens: Lens) -> str:
    """Return what tells the weights of a model from others, from a few numbers of each."""
    digest = hashlib.sha256()
    for module in _modules(lens):
        for name, value in module.state_dict().items():
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            if isinstance(value, torch.Tensor) and value.numel() and not value.is_meta:
                some = value.detach().flatten()[:: max(1, value.numel() // LOOKED_AT)]
                digest.update(str(some.double().tolist()).encode())
    return digest.hexdigest()


def _modules(lens: Lens) -> list[torch.nn.Module]:
    model: Any = lens.model
    return list(components(model).values()) if is_pipeline(model) else [model]
