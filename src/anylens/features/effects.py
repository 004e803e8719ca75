"""Effects: the model run on a few inputs, once as it is, and once for each feature with the feature turned up."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from anylens.core.axes import feature_axis
from anylens.core.progress import Progress
from anylens.core.seeding import seeded
from anylens.features.effect import Effect
from anylens.features.outputs import reader_of
from anylens.harvest.job import Job, samples_of
from anylens.running.actions import Hooks
from anylens.running.examples import Arguments
from anylens.sae.base import Sae
from anylens.sae.steering import steer
from anylens.store.rows import Rows


@torch.no_grad()
def effects_of(
    job: Job, sae: Sae, given: Arguments, rows: Rows, strengths: Iterable[tuple[int, float]]
) -> dict[int, Effect]:
    """Return what steering with features does to the output on one input, by feature.

    What is added is added at all positions that the job takes rows from, at all of its steps.

    Args:
        job: where the rows are from.
        sae: the autoencoder.
        given: the input.
        rows: of the input, which say the positions.
        strengths: features, and how much of each is added.

    Returns an empty mapping where nothing here can read the model's output.
    """
    method = _method(job, given)
    point = job.points[0]
    where = _where(job, rows)

    def run(hooks: Hooks) -> Any:
        args, kwargs = given
        with seeded(0):
            return job.lens.run_with_hooks(*args, hooks=hooks, method=method, **kwargs)

    before = run({})
    reader = reader_of(job.lens, before)
    found: dict[int, Effect] = {}
    listed = list(strengths) if reader is not None else []
    with Progress("steer with each feature", unit="features") as shown:
        for done, (number, strength) in enumerate(listed, 1):
            steered = steer(sae.feature(number), strength)
            after = run({point.name: steered.on(**where) if where else steered})
            assert reader is not None
            found[number] = dataclasses.replace(reader.effect(before, after), strength=strength)
            shown.tell(done, done / len(listed))
    return found


def _method(job: Job, given: Arguments) -> Any:
    """Return what is called: `generate` where the model writes down what it was given as sound."""
    config = getattr(job.lens.model, "config", None)
    writes = getattr(config, "is_encoder_decoder", False) and hasattr(job.lens.model, "generate")
    if job.method is None and writes and "decoder_input_ids" not in given[1]:
        return "generate"
    return job.method


def _where(job: Job, rows: Rows) -> dict[str, Tensor]:
    """Return the positions that rows were taken from, where they are some of one axis."""
    axes = job.points[0].axes
    feature = feature_axis(axes)
    along = [axis for number, axis in enumerate(axes) if axis != "batch" and number != feature]
    if len(along) != 1 or job.positions in ("all", "attended") or callable(job.positions):
        return {}
    return {along[0]: rows.where[:, 1].long().unique()}


def few(given: Arguments, count: int) -> Arguments:
    """Return the first samples of an input; of rows several to a sample, such as codebooks, those of these samples."""
    whole = samples_of(given)

    def cut(value: Any) -> Any:
        if isinstance(value, Tensor) and value.ndim > 1 and len(value) % whole == 0:
            return value[: count * (len(value) // whole)]
        if isinstance(value, (Tensor, list, tuple)) and len(value) == whole:
            return value[:count]
        return value

    args, kwargs = given
    return tuple(map(cut, args)), {name: cut(value) for name, value in kwargs.items()}
