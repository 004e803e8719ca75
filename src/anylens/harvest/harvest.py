"""Harvest: run a model over data once, and keep what it has at some points as rows."""

from collections.abc import Iterable, Sized
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from anylens.core.progress import Progress
from anylens.harvest.job import Job, samples_of
from anylens.harvest.positions import Positions
from anylens.lens import Lens
from anylens.running.choice import Choice
from anylens.store.reader import Store
from anylens.store.shards import SHARD_BYTES
from anylens.store.writer import Writer


def harvest(  # noqa: PLR0913 - each is one plain choice of the user's
    lens: Lens,
    data: Iterable[Any],
    *,
    points: str | Iterable[str],
    to: Path | str,
    positions: Positions = "all",
    steps: Choice = None,
    method: Any = None,
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
    progress: bool | None = None,
) -> Store:
    """Run a model over inputs and write what it has at some points to a folder, as rows.

    Called again with the same arguments after it was cut off, it goes on where it was: no row is lost, none is doubled.

    Args:
        lens: the lens.
        data: inputs as `attach` takes them (a tensor, a dict, a tuple; texts, where the lens has a tokenizer), each a
            batch. A run that resumes goes through it from the beginning and skips what was done.
        points: names or globs; all are taken in one pass, and the forward ends after the last of them.
        to: the folder.
        positions: which positions become rows: `"all"`, `"first"`, `"patches"` (those that the layout places in the
            picture), `"attended"` (where `attention_mask` is 1), indices, a slice, a mask `[pos]`, `[batch]` or
            `[batch, pos]`, or a function from an input to a mask. Maps of a convolution become rows of channels.
        steps: for a run that calls the model again and again (`method="generate"`, a pipeline): which steps are kept,
            as for `record`. With classifier-free guidance only the rows that follow the prompt become rows.
        method: what is called in place of the model, as for `run_with_cache`.
        dtype: the dtype of the rows, if not the model's.
        shard_bytes: the size of a file, about.
        progress: whether to show rows per second and the time left; where stderr is a terminal if not said.

    Returns:
        The store. Every row has its sample, step and position.

    Raises:
        StoreError: the folder holds rows of another harvest, or the disk is full: nothing written before is lost.
    """
    job = Job.of(lens, points, positions=positions, steps=steps, method=method, dtype=dtype)
    with Writer(to, job.origin(), shard_bytes=shard_bytes) as writer:
        if not writer.manifest.complete:
            with Progress(f"harvest into {to}", shown=progress) as shown:
                _fill(writer, job, data, shown)
            writer.finish()
    return Store(to)


def _fill(writer: Writer, job: Job, data: Iterable[Any], shown: Progress) -> None:
    """Write the rows of the inputs that are not written yet."""
    made, count = 0, len(data) if isinstance(data, Sized) else 0
    for given in islice(job.inputs(data), writer.inputs, None):
        rows = job.rows(given, first=writer.samples)
        writer.add(rows, job.axes(), samples_of(given))
        made += sum(map(len, rows.values()))
        shown.tell(made, writer.inputs / count if count else None)
