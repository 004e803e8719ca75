"""Metrics: what of a model's output is measured, as a value: a callable from the output to `[batch]`.

Any function that does so is as good. These know where an output keeps its main tensor, and that rows may be repeated:
where a metric is given one target a row, row r of a larger batch takes that of row r modulo their number, so that
sweeps may put many cells into one batch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from anylens.core.errors import AxisError, ShapeError
from anylens.core.tree import children

Measure = Callable[[Any], Tensor]
Index = int | slice | list[int] | Tensor
Target = int | list[int] | Int[Tensor, "row"]

# by which names outputs hold their main tensor, in transformers and diffusers; the first that is there counts
MAIN = (
    "logits sample images frames audios audio_values waveform spectrogram reconstruction prediction logits_per_image "
    "pred_original_sample last_hidden_state image_embeds text_embeds pooler_output"
).split()


@dataclass(frozen=True)
class Metric:
    """A named way to measure an output: `metric(output)` is one number for each row of the batch."""

    name: str
    measure: Measure

    def __call__(self, output: Any) -> Float[Tensor, "batch"]:
        """Return one number for each row."""
        return self.measure(output)

    def __sub__(self, other: Measure) -> "Metric":
        """Return the metric less another."""
        return Metric(f"{self.name} - {getattr(other, 'name', other)}", lambda out: self(out) - other(out))

    def __repr__(self) -> str:
        return self.name


def main(output: Any, field: str = "") -> Tensor:
    """Return an output's main tensor: the output itself, its field of a name, or the first of the names in `MAIN`.

    Pictures (of PIL, or arrays of height, width, channel) become `[batch, channel, height, width]` between 0 and 1.

    Raises AxisError for an output that has no such field; it names those that there are.
    """
    found = output if not field and not isinstance(output, (Mapping, tuple)) else None
    held = {str(name): value for name, value in children(output)}
    names = [field] if field else [*MAIN, "0"]  # "0": the first of a tuple
    if not isinstance(found, (Tensor, list)):
        found = next((held[name] for name in names if held.get(name) is not None), None)
    if isinstance(found, (list, tuple)) and found and not isinstance(found[0], Tensor):
        return torch.stack([_picture(one) for one in found])
    if not isinstance(found, Tensor):
        raise AxisError(
            f"The output, {type(output).__name__}, has no tensor {field or 'by any of the usual names'}. "
            f"Its fields are {', '.join(held) or 'none'}: name one, or measure with a function of your own."
        )
    return found


def logit(target: Target, *, at: int | None = -1, field: str = "") -> Metric:
    """The logit of a token or class, one for all rows or one a row.

    at: the position, where the output has any (`[batch, pos, vocab]`); the last by default, None for the mean over all.
    field: of the output, where it is not the main one. Here and in the other metrics, measuring raises AxisError for a
    field, position or target that the output does not have, and ShapeError for an output that has no such scores.

    >>> logit(2)(torch.tensor([[0.0, 1.0, 5.0]]))
    tensor([5.])
    """
    return Metric(f"logit({target})", lambda out: _of(_scores(out, at, field), target))


def logit_difference(right: Target, wrong: Target, *, at: int | None = -1, field: str = "") -> Metric:
    """The logit of one token or class less that of another (Wang et al. 2022, https://arxiv.org/abs/2211.00593).

    >>> logit_difference(2, 1)(torch.tensor([[0.0, 1.0, 5.0]]))
    tensor([4.])
    """

    def measure(output: Any) -> Tensor:
        scores = _scores(output, at, field)
        return _of(scores, right) - _of(scores, wrong)

    return Metric(f"logit({right}) - logit({wrong})", measure)


def log_probability(target: Target, *, at: int | None = -1, field: str = "") -> Metric:
    """The natural logarithm of the probability of a token or class.

    >>> log_probability(0)(torch.zeros(1, 4)).exp()
    tensor([0.2500])
    """
    said = lambda scores: scores.float().log_softmax(-1)  # noqa: E731
    return Metric(f"log_probability({target})", lambda out: _of(_scores(out, at, field, said), target))


def answers(target: Target, *, at: int | None = -1, field: str = "") -> Metric:
    """1 where a token or class has the highest logit, else 0: the mean over rows is an accuracy. It has no gradient.

    >>> answers(2)(torch.tensor([[0.0, 1.0, 5.0], [3.0, 1.0, 2.0]]))
    tensor([1., 0.])
    """

    first = lambda scores: functional.one_hot(scores.argmax(-1), scores.shape[-1]).float()  # noqa: E731
    return Metric(f"answers({target})", lambda out: _of(_scores(out, at, field, first), target))


def kl_divergence(clean: Any, *, at: int | None = -1, field: str = "") -> Metric:
    """KL(clean || output) in nats, between the distributions over tokens or classes.

    clean: the output of the run compared with, or its logits. at: the position; None for the mean over all.

    >>> kl_divergence(torch.zeros(1, 4))(torch.zeros(1, 4))
    tensor([0.])
    """
    kept = main(clean, field).detach().float().log_softmax(-1)

    def measure(output: Any) -> Tensor:
        found = main(output, field).float().log_softmax(-1)
        was = _alike(kept, found)
        divergence = (was.exp() * (was - found)).sum(-1)
        return _position(divergence, at) if divergence.dim() > 1 else divergence

    return Metric("kl_divergence", measure)


def loss(labels: Int[Tensor, "row ..."], *, shift: bool = False, field: str = "") -> Metric:
    """Cross-entropy with labels in nats, the mean over positions; positions labelled -100 do not count.

    shift: the labels are the input itself, and each position is to predict the next. A row without labels gives NaN.
    Measuring raises ShapeError for labels of another shape than the output has rows and positions.

    >>> loss(torch.tensor([[0, 1, 1]]), shift=True)(torch.zeros(1, 3, 2))
    tensor([0.6931])
    """

    def measure(output: Any) -> Tensor:
        scores = main(output, field).float()
        wanted = _tiled(labels.to(scores.device), len(scores))
        if shift:
            scores, wanted = scores[:, :-1], wanted[:, 1:]
        if scores.shape[:-1] != wanted.shape:
            raise ShapeError(
                f"Labels of shape {list(wanted.shape)} do not fit logits {list(scores.shape)}: give one label for each "
                "row, or for each row and position."
            )
        if bool(((wanted < 0) & (wanted != -100) | (wanted >= scores.shape[-1])).any()):
            raise AxisError(
                f"There is a label that is none of the {scores.shape[-1]} tokens or classes, nor -100."
            )
        each = functional.cross_entropy(scores.movedim(-1, 1), wanted, ignore_index=-100, reduction="none")
        return each.reshape(len(each), -1).sum(-1) / (wanted != -100).reshape(len(each), -1).sum(-1)

    return Metric("loss", measure)


def region(*where: Index, field: str = "") -> Metric:
    """The mean of a part of the output: one index for each dimension behind the batch, those left out being whole.

    Pixels of a picture `[batch, channel, height, width]`: `region(slice(None), slice(8, 16), slice(8, 16))`. Frames
    and bands of a spectrogram `[batch, frame, mel]`: `region(slice(10, 20), slice(0, 5))`. Measuring raises AxisError
    for a part that the output does not have. A band of a waveform is measured by `judged`: of its spectrogram.

    >>> region(0, slice(0, 1))(torch.arange(4.0).reshape(1, 1, 2, 2))
    tensor([0.5000])
    """

    def measure(output: Any) -> Tensor:
        part = main(output, field)
        if len(where) >= part.dim():
            raise AxisError(f"{len(where)} indices were given for an output of shape {list(part.shape)}.")
        for axis, index in enumerate(where, 1):
            listed = _listed(index, part.shape[axis], axis)
            part = part.index_select(axis, listed.to(part.device))
        return part.float().flatten(1).mean(1)

    return Metric(f"region{where}", measure)


def distance(to: Any, *, field: str = "") -> Metric:
    """The Euclidean distance of an output, such as a latent, from another: a tensor, or an output like it.

    Measuring raises ShapeError for an output of another size.

    >>> distance(torch.zeros(1, 2))(torch.tensor([[3.0, 4.0]]))
    tensor([5.])
    """
    kept = main(to, field).detach().float()

    def measure(output: Any) -> Tensor:
        found = main(output, field).float()
        gap: Tensor = found - _alike(kept, found)
        far: Tensor = torch.linalg.vector_norm(gap.flatten(1), dim=1)
        return far

    return Metric("distance", measure)


def judged(judge: Callable[[Tensor], Any], metric: Measure, *, field: str = "") -> Metric:
    """What another model answers about the output: a metric of what it gives for the output's main tensor.

    judge: a model, or any function, from that tensor to an output: where it needs other sizes or scales than the output
    has, a function that brings them about.

    >>> judged(lambda picture: picture.mean((2, 3)), logit(0))(torch.ones(1, 3, 4, 4))
    tensor([1.])
    """
    return Metric(f"judged({getattr(metric, 'name', metric)})", lambda out: metric(judge(main(out, field))))


def _scores(
    output: Any, at: int | None, field: str, of: Callable[[Tensor], Tensor] = lambda scores: scores
) -> Float[Tensor, "batch vocab"]:
    """Return what a function makes of the scores of tokens or classes, at the position asked for if there are any."""
    scores = of(main(output, field))
    if scores.dim() == 3:
        return _position(scores, at)
    if scores.dim() != 2:
        raise ShapeError(
            f"Scores of tokens or classes are [batch, class] or [batch, pos, class], and the output has "
            f"{list(scores.shape)}. Measure with a function of your own."
        )
    return scores


def _position(values: Tensor, at: int | None) -> Tensor:
    if at is None:
        return values.mean(1)
    if not -values.shape[1] <= at < values.shape[1]:
        raise AxisError(f"There is no position {at} in an output of {values.shape[1]} positions.")
    return values[:, at]


def _of(scores: Float[Tensor, "batch vocab"], target: Target) -> Float[Tensor, "batch"]:
    wanted = _rowwise(target, scores)
    if int(wanted.max()) >= scores.shape[-1] or int(wanted.min()) < 0:
        raise AxisError(f"There is no token or class {target} among {scores.shape[-1]}.")
    return scores.gather(-1, wanted[:, None])[:, 0]


def _rowwise(target: Target, scores: Tensor) -> Int[Tensor, "batch"]:
    wanted = torch.as_tensor(target, device=scores.device).long().reshape(-1)
    return _tiled(wanted, len(scores))


def _tiled(values: Tensor, rows: int) -> Tensor:
    """Repeat values of a few rows for a batch that holds those rows several times."""
    if rows % len(values):
        raise ShapeError(f"The metric has targets for {len(values)} rows, and the output has {rows}.")
    return values.repeat(rows // len(values), *[1] * (values.dim() - 1)) if rows > len(values) else values


def _alike(kept: Tensor, found: Tensor) -> Tensor:
    """Return what an output is compared with, repeated for its rows; ShapeError where it has another size."""
    if kept.shape[1:] != found.shape[1:]:
        raise ShapeError(
            f"The output has shape {list(found.shape)}, and is compared with {list(kept.shape)}."
        )
    return _tiled(kept.to(found.device), len(found))


def _listed(index: Index, size: int, axis: int) -> Int[Tensor, "place"]:
    try:
        found = torch.arange(size)[index if not isinstance(index, int) else [index]]
    except IndexError as error:
        raise AxisError(
            f"{index} is outside dimension {axis} of the output, which has {size} places."
        ) from error
    if not len(found):
        raise AxisError(f"{index} holds nothing of dimension {axis} of the output, which has {size} places.")
    return found


def _picture(one: Any) -> Float[Tensor, "channel height width"]:
    array = torch.as_tensor(np.array(one))
    scaled = array.float() / 255 if array.dtype == torch.uint8 else array.float()
    return scaled.movedim(-1, 0) if scaled.dim() == 3 else scaled[None]
