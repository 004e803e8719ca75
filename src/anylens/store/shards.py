"""One file of rows: what is in it, and its name, which says which inputs it holds and what its content is.

As the name holds the checksum, a file that has its name is whole, two attempts at the same rows give the same file, and
what was written before a run was cut off can be told from the list of files alone.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from safetensors.torch import save

from anylens.core.errors import StoreError
from anylens.store.manifest import Column, Shard, column_of, shard_of
from anylens.store.rows import Rows, joined
from anylens.store.storage import Storage

SHARD_BYTES = 64 * 2**20
FEWEST = 16  # shards of a small harvest whose length is known, for as many workers
MOST_INPUTS = 4096  # of a shard: what is lost, at most, when a run is cut off
NAMES = re.compile(r"rows-(\d{6,})-([0-9a-f]{64})\.safetensors")
HEADER = 8  # bytes that say how long the header of a safetensors file is


@dataclass(frozen=True)
class Packed:
    """A file as it is to be written, and what the manifest will say of it."""

    content: bytes
    shard: Shard
    columns: Mapping[str, Column]


def inputs_per_shard(bytes_of_one: int, shard_bytes: int, count: int | None = None) -> int:
    """Return how many inputs a file holds: a number that nothing but the first input and the count decides.

    Args:
        bytes_of_one: the bytes of the first input's rows.
        shard_bytes: what is wanted of a file.
        count: how many inputs there are, where that is known.
    """
    fitting = math.ceil(shard_bytes / bytes_of_one) if bytes_of_one else MOST_INPUTS
    fair = math.ceil(count / FEWEST) if count else MOST_INPUTS
    return max(1, min(fitting, fair, MOST_INPUTS))


def bytes_of(rows: Mapping[str, Rows]) -> int:
    """Return the bytes of the rows of all points."""
    return sum(some.bytes for some in rows.values())


def columns_of(rows: Mapping[str, Rows], axes: Mapping[str, tuple[str, ...]]) -> dict[str, Column]:
    """Return what the rows of each point are like."""
    return {
        point: Column(some.values.shape[1], str(some.values.dtype).removeprefix("torch."), tuple(axes[point]))
        for point, some in rows.items()
    }


def pack(
    parts: Mapping[str, Sequence[Rows]],
    columns: Mapping[str, Column],
    *,
    number: int,
    inputs: tuple[int, int],
    samples: int,
) -> Packed:
    """Make a file of rows.

    Args:
        parts: by point; samples are counted from the first of the file.
        columns: what the rows of each point are like.
        number: of the file in its store.
        inputs: which inputs the rows are of, end excluded.
        samples: how many samples those are.
    """
    tensors: dict[str, torch.Tensor] = {}
    for point, some in parts.items():
        rows = joined(some)
        tensors |= {
            f"values/{point}": rows.values.contiguous(),
            f"sample/{point}": rows.sample.contiguous(),
            f"where/{point}": rows.where.contiguous(),
        }
    counts = {point: sum(map(len, some)) for point, some in parts.items()}
    told = Shard("", counts, "", inputs, (0, samples))
    said = {"shard": asdict(told), "columns": {point: asdict(column) for point, column in columns.items()}}
    content = save(tensors, {"anylens": json.dumps(said)})
    digest = hashlib.sha256(content).hexdigest()
    name = f"rows-{number:06d}-{digest}.safetensors"
    return Packed(content, Shard(name, counts, digest, inputs, (0, samples)), columns)


def is_shard(name: str) -> bool:
    """Whether a file has the name of one."""
    return NAMES.fullmatch(name) is not None


def look(storage: Storage, name: str) -> tuple[Shard, dict[str, Column]]:
    """Return what a file says of itself, reading its header only.

    Raises StoreError if it is none, or is cut short.
    """
    found = NAMES.fullmatch(name)
    try:
        length = int.from_bytes(storage.read(name, 0, HEADER), "little")
        header = json.loads(storage.read(name, HEADER, HEADER + length))
        said = json.loads(header.pop("__metadata__")["anylens"])
        end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
        if found is None or storage.size(name) != HEADER + length + end:
            raise ValueError("it is cut short")
        shard = shard_of({**said["shard"], "file": name, "sha256": found[2]})
        return shard, {point: column_of(column) for point, column in said["columns"].items()}
    except (OSError, ValueError, KeyError, TypeError, IndexError, MemoryError, OverflowError) as error:
        raise StoreError(f"{storage}/{name} is no file of rows: {error}.") from error
