"""Activation patching: put what one run had at a place into another run, and see how far the answer comes back.

A place is a point and positions on some of its axes: a layer and a patch, a layer and a head, a step and a channel.
Vig et al. 2020, "Causal Mediation Analysis for Interpreting Neural NLP", https://arxiv.org/abs/2004.12265; Meng et al.
2022, "Locating and Editing Factual Associations in GPT", https://arxiv.org/abs/2202.05262; on the choices it leaves,
Heimersheim and Nanda 2024, https://arxiv.org/abs/2404.15255.
"""

from collections.abc import Iterable
from typing import Any

import torch

from anylens.analysis.grid import Grid
from anylens.analysis.sweeping.cells import Over
from anylens.analysis.sweeping.content import kept
from anylens.analysis.sweeping.subject import DEFAULT, Metric, Settings, Subject, expect_alike
from anylens.analysis.sweeping.sweep import How, Task, names_of, sweep
from anylens.lens import Lens


def patching_sweep(
    lens: Lens,
    inputs: Any,
    *,
    source: Any,
    points: str | Iterable[str],
    metric: Metric,
    over: Over = "pos",
    settings: Settings = DEFAULT,
) -> Grid:
    """Patch what the run on `source` had into the run on `inputs`, one place at a time.

    With corrupted inputs and a clean source (denoising) a cell says what is enough to bring the answer back; with
    clean inputs and a corrupted source (noising), what the answer needs. (Meng et al. 2022,
    https://arxiv.org/abs/2202.05262.)

    Args:
        lens: the model, or pipeline.
        inputs, source: inputs as `run_with_cache` takes them, alike in size; row n of one goes with row n of the other.
        points: names or globs. They are the first axis of the grid: `layer`, or `point` where they differ in more.
        metric: from the model's output to one number for each row of the batch, `[batch]`; see `analysis.metrics`.
        over: the other axes, `"pos"`, `"pos head"`, `""`, or axes with their places, each a position, several that are
            patched together, or `Windows`: `{"pos": [0, [1, 2, 3]], "head": None}`. `layer` patches all points of a
            layer together, `step` only some steps of a pipeline.
        settings: rows of a forward, random numbers and the like.

    Returns:
        The metric in every cell; `recovered` is 0 where the answer stays that of the inputs, 1 where it is the other.

    Raises:
        AxisError: a point lacks the axis or the position.
        EditError: `over` names an axis twice, or is no names.
        ShapeError: the inputs differ in size, or the metric does not give one number for each row.
        UnknownPointError: no point has such a name.

    >>> import anylens
    >>> from anylens.analysis.metrics import logit_difference
    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> king, kings = (lens.processor(f"today the {who}", return_tensors="pt") for who in ("king", "kings"))
    >>> metric = logit_difference(*lens.processor.convert_tokens_to_ids(["praises", "praise"]))
    >>> grid = patching_sweep(lens, kings, source=king, points="blocks.*.hook_resid_pre", metric=metric)
    >>> grid.axes, grid.values.shape
    (('row', 'layer', 'pos'), torch.Size([1, 3, 4]))
    >>> grid.strongest()  # the last layer, at the noun, from which the verb is to follow
    [{'layer': 0, 'pos': 3}]
    """
    task = Task.of(lens, inputs, points, metric, How(over, settings))
    other = Subject(lens, source, metric, settings)
    if other.one_forward:
        expect_alike(task.subject.given, other.given)
    with torch.no_grad():
        output, values = other.record(names_of(task.points))
        return sweep(task, kept(values), other.measure(output))
