"""The logit lens: what a model would say if it stopped after each layer, by its own final norm and head.

(nostalgebraist 2020, "interpreting GPT: the logit lens",
https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens.)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from anylens.analysis.streams.parts import block_base, stream_of, stream_with_head
from anylens.analysis.streams.readout import read_out
from anylens.anatomy.anatomy import StreamRecord
from anylens.core.errors import AxisError
from anylens.lens import Lens
from anylens.running.examples import as_arguments


@dataclass(frozen=True)
class LogitLens:
    """What each state of a stream says through the head.

    Attributes:
        points: the states, in the order of the first axis.
        logits: `[point, batch, pos, output]`, or `[point, batch, pos, head, output]` of a model with several heads.
        final: the same for the last state: what the model says.
        exact: whether the head's output is the model's own, up to a factor that is then in the logits. Where it is not,
            the model does something more behind the head, such as a cap on the size of logits.
    """

    points: tuple[str, ...]
    logits: Float[Tensor, "point batch pos ..."]
    final: Float[Tensor, "batch pos ..."]
    exact: bool

    def kl(self) -> Float[Tensor, "point batch pos ..."]:
        """Return how far each state's distribution is from the last one's, in nats: KL(last, state)."""
        return divergence(self.final, self.logits)

    def ranks(self, output: int | Int[Tensor, "batch"]) -> Int[Tensor, "point batch pos ..."]:
        """Return how many outputs each state puts above one: 0 where it is the first choice.

        Raises AxisError for a number that is no output.
        """
        number = torch.as_tensor(output, device=self.logits.device).reshape(-1, *[1] * (self.final.dim() - 1))
        if int(number.min()) < 0 or int(number.max()) >= self.final.shape[-1]:
            raise AxisError(f"There is no output {output} among {self.final.shape[-1]}.")
        wanted = self.logits.gather(-1, number.expand(*self.logits.shape[:-1], 1))
        return (self.logits > wanted).sum(-1)


def divergence(said: Tensor, guessed: Tensor) -> Tensor:
    """Return KL(said, guessed) over the last axis, from logits, in nats."""
    p, q = said.log_softmax(-1), guessed.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


@torch.no_grad()
def logit_lens(lens: Lens, inputs: Any, *, points: str | Iterable[str] = ()) -> LogitLens:
    """Read every state of a stream by the model's own final norm and head.

    Works where a stream has a head: a language model, the classes of a vision transformer (at every position, though
    the model itself reads one), a decoder of speech, the codebooks of a music model.
    (nostalgebraist 2020, https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens.)

    Args:
        lens: the model.
        inputs: as `run_with_cache` takes them.
        points: names or globs of states; by default what enters the first block and what leaves each.

    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> ids = lens.processor("the kings near the queen", return_tensors="pt").input_ids
    >>> found = logit_lens(lens, ids)
    >>> found.points[0], list(found.logits.shape)  # point, batch, pos, token
    ('blocks.0.hook_resid_pre', [4, 1, 6, 141])
    >>> bool(torch.allclose(found.final, lens.model(ids).logits, atol=1e-4))
    True

    Raises:
        AnatomyError: no stream of the model has a head, or there is more than a norm before it.
        AxisError: a point is not a state of the stream.
    """
    stream = stream_with_head(lens)
    names = state_points(lens, stream, points)
    args, kwargs = as_arguments(inputs)
    readout, cache = read_out(lens, stream, (args, kwargs), names)
    logits = torch.stack([readout(cache[name]) for name in names])
    return LogitLens(tuple(names), logits, readout.final, readout.exact)


def state_points(lens: Lens, stream: StreamRecord, points: str | Iterable[str]) -> list[str]:
    """Return the names of the states that were asked for, or of those at the ends of blocks.

    Raises AxisError for a point that is not shaped as the stream.
    """
    given = [points] if isinstance(points, str) else list(points)
    if not given:
        ends = [f"{block_base(stream, n)}.hook_resid_post" for n in range(len(stream.blocks))]
        normalized = [name.replace("hook_resid", "hook_normalized_resid") for name in ends]
        found = [one if one in lens.points else other for one, other in zip(normalized, ends, strict=True)]
        return [f"{block_base(stream, 0)}.hook_resid_pre", *found]
    selected = lens.points.select(given)
    for point in selected:
        if point.axes != stream.axes or stream_of(lens, point.name) is not stream:
            raise AxisError(
                f"{point.name} has axes {' '.join(point.axes)}; the head of this stream reads {' '.join(stream.axes)}."
            )
    return [point.name for point in selected]
