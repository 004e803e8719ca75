"""Collect: rows of a running model in memory, for what needs all of them at once and not so many."""

from collections.abc import Iterable
from typing import Any

from anylens.core.errors import StoreError
from anylens.core.seeding import seeded
from anylens.harvest.job import Job, samples_of
from anylens.harvest.positions import Positions
from anylens.lens import Lens
from anylens.running.choice import Choice
from anylens.store.rows import Rows, joined


def collect(
    lens: Lens,
    data: Iterable[Any],
    *,
    points: str | Iterable[str],
    positions: Positions = "all",
    steps: Choice = None,
    method: Any = None,
) -> dict[str, Rows]:
    """Run a model over inputs and return what it has at some points, by point, as rows.

    The same rows as `anylens.harvest` writes to a folder, each with its sample, step and position.

    Args:
        lens: the lens.
        data: inputs, each a batch as the model takes it; texts, where the lens has a tokenizer.
        points: names or globs; all are taken in one pass, and the forward ends after the last of them.
        positions, steps, method: as for `anylens.harvest`.

    Raises:
        StoreError: there are no inputs, or none of their positions was chosen.

    >>> import anylens
    >>> from anylens.zoo.feeding import Samples
    >>> lens = anylens.load("zoo:shapes-vit")
    >>> rows = collect(lens, Samples("shapes-vit", 6), points="blocks.*.hook_resid_post", positions="first")
    >>> rows["blocks.0.hook_resid_post"].values.shape, rows["blocks.0.hook_resid_post"].sample.tolist()
    (torch.Size([6, 80]), [0, 1, 2, 3, 4, 5])
    """
    job = Job.of(lens, points, positions=positions, steps=steps, method=method)
    parts: dict[str, list[Rows]] = {point.name: [] for point in job.points}
    samples = 0
    for number, given in enumerate(job.inputs(data)):
        with seeded(number):
            found = job.rows(given, first=samples)
        for name, rows in found.items():
            parts[name].append(rows)
        samples += samples_of(given)
    empty = [name for name, found in parts.items() if not sum(map(len, found))]
    if empty:
        raise StoreError(
            f"There are no rows of {empty[0]}: no inputs, or none of their positions was chosen."
        )
    return {name: joined(found) for name, found in parts.items()}
