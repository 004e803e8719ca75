"""Harvest: run a model over data once, and keep what it has at some points as rows."""

from collections.abc import Callable, Iterable, Sized
from pathlib import Path
from typing import Any

import torch

from anylens.core.progress import Progress
from anylens.core.seeding import seeded
from anylens.harvest.engines import Engine, Ray, engine_of
from anylens.harvest.job import Job, samples_of
from anylens.harvest.on_ray import harvest_on_ray
from anylens.harvest.positions import Positions
from anylens.harvest.work import made, maker, work_of
from anylens.lens import Lens
from anylens.running.choice import Choice
from anylens.store.reader import Store
from anylens.store.shards import SHARD_BYTES
from anylens.store.writer import Writer


def harvest(  # noqa: PLR0913 - each is one plain choice of the user's
    lens: Lens | str | Path | Callable[[], Lens],
    data: Iterable[Any] | Callable[[], Iterable[Any]],
    *,
    points: str | Iterable[str],
    to: Path | str,
    positions: Positions = "all",
    steps: Choice = None,
    method: Any = None,
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
    engine: Engine | str = "local",
    progress: bool | None = None,
) -> Store:
    """Run a model over inputs and write what it has at some points to a folder, as rows.

    Called again with the same arguments after it was cut off, it goes on where it was: no row is lost, none is doubled.

    Args:
        lens: the lens.
        data: inputs as `attach` takes them (a tensor, a dict, a tuple; texts, where the lens has a tokenizer), each a
            batch; or a function that returns them. A run that resumes goes through it from the beginning and skips what
            was done. Where the model draws random numbers, input n draws those of seed n.
        points: names or globs; all are taken in one pass, and the forward ends after the last of them.
        to: the folder, or a URL that fsspec knows, such as `s3://bucket/rows`.
        positions: which positions become rows: `"all"`, `"first"`, `"patches"` (those that the layout places in the
            picture), `"attended"` (where `attention_mask` is 1), indices, a slice, a mask `[pos]`, `[batch]` or
            `[batch, pos]`, or a function from an input to a mask. Maps of a convolution become rows of channels.
        steps: for a run that calls the model again and again (`method="generate"`, a pipeline): which steps are kept,
            as for `record`. With classifier-free guidance only the rows that follow the prompt become rows.
        method: what is called in place of the model, as for `run_with_cache`.
        dtype: the dtype of the rows, if not the model's.
        shard_bytes: the size of a file, about. A file holds whole inputs, always the same number.
        engine: where it runs: `"local"`; `"ray"`, on a cluster, one started here if there is none; or a value of
            `anylens.harvest.Ray`. The store is the same. Workers make the lens themselves, so it must be one that
            `anylens.load` made, a name or a function, and they take inputs in any order: data are a sequence.
        progress: whether to show rows per second and the time left; where stderr is a terminal if not said.

    Returns:
        The store. Every row has its sample, step and position.

    Raises:
        MissingExtraError: the engine or the storage needs a library that is not installed.
        StoreError: the folder holds rows of another harvest, or the disk is full: nothing written before is lost.
    """
    where = engine_of(engine)
    how: dict[str, Any] = {"points": points, "positions": positions, "steps": steps}
    how |= {"method": method, "dtype": dtype}
    if isinstance(where, Ray):
        work = work_of(lens, data, to=to, **how)
        harvest_on_ray(where, work, shard_bytes=shard_bytes, progress=progress)
        return Store(to)
    job = Job.of(lens if isinstance(lens, Lens) else maker(lens)(), **how)
    inputs = made(data)
    count = len(inputs) if isinstance(inputs, Sized) else None
    with Writer(to, job.origin(), shard_bytes=shard_bytes, count=count) as writer:
        if not writer.manifest.complete:
            with Progress(f"harvest into {to}", shown=progress) as shown:
                _fill(writer, job, inputs, shown)
            writer.finish()
    return Store(to)


def _fill(writer: Writer, job: Job, data: Iterable[Any], shown: Progress) -> None:
    """Write the rows of the inputs that are not written yet."""
    rows, count = 0, len(data) if isinstance(data, Sized) else 0
    for number, given in enumerate(job.inputs(data)):
        if (
            number < writer.inputs
        ):  # written before; workers that were cut off may have left some further on too
            continue
        with seeded(number):
            found = job.rows(given, first=writer.samples)
        writer.add(found, job.axes(), samples_of(given))
        rows += sum(map(len, found.values()))
        shown.tell(rows, writer.inputs / count if count else None)
