"""Training: batches in, weights out, with checkpoints that go on bit for bit."""

from collections.abc import Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Literal

from anylens.core.errors import SaeError
from anylens.core.progress import Progress
from anylens.sae.base import Sae
from anylens.sae.checkpoint import CHECKPOINT
from anylens.sae.logs import logs_of
from anylens.sae.ranks.by_latents import ByLatents
from anylens.sae.ranks.by_rows import ByRows
from anylens.sae.ranks.group import Group, joined, leads
from anylens.sae.ranks.parallel import Alone, Parallel
from anylens.sae.run import Run
from anylens.sae.settings import Settings
from anylens.store.batches import Batches


def train(
    sae: Sae,
    batches: Batches,
    settings: Settings | None = None,
    *,
    folder: Path | str | None = None,
    also: Iterable[str] = (),
    parallel: Literal["data", "dictionary"] = "data",
    progress: bool | None = None,
) -> Sae:
    """Train an autoencoder, in place, and return it in eval mode.

    Started in several processes (`torchrun`, Ray Train, `anylens sae train --ranks`), each makes this call with the
    same autoencoder and batches, and takes its share of the work. Afterwards each has the whole autoencoder.

    Args:
        sae: the autoencoder, as `make` gives it.
        batches: rows, for as many epochs as the steps need (`epochs=None`).
        settings: how.
        folder: where the log and the checkpoints go. A run that was cut off goes on from the last checkpoint there,
            with as many processes as there are now.
        also: further logs, `"tensorboard"`, `"wandb"` or `"wandb:PROJECT"`, which must be installed.
        parallel: what several processes share out: the rows of each batch, or the latents, for a dictionary that one
            device does not hold (`topk`, `batchtopk` and `matryoshka`). One process does not need it.
        progress: whether to show loss, FVU, L0, dead latents and rows per second.

    Raises:
        SaeError: the loss is no number, every latent is dead, the rows ran out, or the work cannot be shared out so.
        RankError: another process stopped.
    """
    settings = settings or Settings()
    place = Path(folder) if folder is not None else None
    if place is not None:
        place.mkdir(parents=True, exist_ok=True)
    group = joined()
    how = _parallel_of(parallel, sae, group)
    if group is not None:
        group.expect_same(_given(sae, batches, settings, parallel))
    part = how.part(sae.train())
    run = Run(part, batches, settings, parallel=how, file=place / CHECKPOINT if place else None)
    if not run.resume():
        run.begin()
    rows = iter(batches)
    with ExitStack() as stack:
        run.logs = [stack.enter_context(closing(log)) for log in logs_of(place, also)] if leads() else []
        shown = stack.enter_context(Progress("train", shown=progress if leads() else False))
        while run.step < settings.steps:
            batch = next(rows, None)
            if batch is None:
                raise SaeError(
                    f"The rows ran out after {run.step} of {settings.steps} steps. Give epochs=None."
                )
            run.take(batch.values, shown)
    run.save()
    how.finish(sae, part)
    return sae.eval()


def _parallel_of(name: str, sae: Sae, group: Group | None) -> Parallel:
    if name not in (ByRows.name, ByLatents.name):
        raise SaeError(f"parallel is 'data' or 'dictionary', and {name!r} was given.")
    if group is None:
        return Alone()
    if name == ByLatents.name:
        return ByLatents(group, sae.d_sae)
    group.expect_reachable(sae.encoder.device)
    return ByRows(group)


def _given(sae: Sae, batches: Batches, settings: Settings, parallel: str) -> dict[str, Any]:
    """Return what ranks must have been given alike, by name."""
    return {
        "autoencoder": [sae.variant, sae.d_in, sae.d_sae, sae.settings(), str(sae.encoder.dtype)],
        "settings": settings,
        "parallel": parallel,
        "rows": [
            batches.total,
            batches.size,
            batches.seed,
            batches.epochs,
            batches.mixing,
            batches.drop_last,
        ],
    }
