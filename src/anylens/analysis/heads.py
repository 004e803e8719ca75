"""Scores of heads over a lens, by layer and by step, each beside what chance would give; and attention rollout."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from anylens.analysis.patterns import Score, uniform
from anylens.core.errors import AxisError, RunError, ShapeError
from anylens.lens import Lens
from anylens.running.examples import as_arguments
from anylens.running.steps import Steps

_SQUARE = ("batch", "head", "query_pos", "key_pos")


@dataclass(frozen=True)
class HeadScores:
    """One number for each head, by the point of its pattern: `[batch, head]`, or `[step, batch, head]`.

    chance: the same for a head that looks alike at all it may look at.
    """

    values: Mapping[str, Float[Tensor, "*step batch head"]]
    chance: Mapping[str, Float[Tensor, "*step batch head"]]

    def __getitem__(self, point: str) -> Float[Tensor, "*step batch head"]:
        return self.values[point]

    def stacked(self) -> Float[Tensor, "*step batch layer head"]:
        """Return the scores of all points in one tensor.

        Raises AxisError where they differ in their number of heads.
        """
        counts = {value.shape[-1] for value in self.values.values()}
        if len(counts) > 1:
            raise AxisError(f"The points have {sorted(counts)} heads, so their scores do not stack.")
        return torch.stack(list(self.values.values()), -2)

    def strongest(self, count: int = 5) -> list[tuple[str, int, float]]:
        """Return the heads that lie furthest above chance as a mean over steps and rows: point, head, score."""
        found = [
            (float(score - chance), name, head, float(score))
            for name, value in self.values.items()
            for head, (score, chance) in enumerate(zip(_mean(value), _mean(self.chance[name]), strict=True))
        ]
        return [(name, head, score) for _, name, head, score in sorted(found, reverse=True)[:count]]


def _mean(value: Tensor) -> Tensor:
    return value.reshape(-1, value.shape[-1]).mean(0)


@torch.no_grad()
def head_scores(
    lens: Lens, inputs: Any, score: Score, *, points: str | Iterable[str] = "*.hook_pattern"
) -> HeadScores:
    """Score every head of some patterns in one run.

    `inputs` are as `run_with_cache` takes them; scores are in `analysis.patterns` and `analysis.picture_heads`, and any
    function from `[batch, head, query_pos, key_pos]` to `[batch, head]` is one. (Scores of known types of heads: Olsson
    et al. 2022, https://arxiv.org/abs/2209.11895.)

    >>> from anylens.analysis.patterns import previous_token
    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> ids = lens.processor("the kings near the queen", return_tensors="pt").input_ids
    >>> head_scores(lens, ids, previous_token()).stacked().shape  # batch, layer, head
    torch.Size([1, 3, 4])

    Raises AxisError for a pattern without these axes, ShapeError for a score that gives something else.
    """
    args, kwargs = as_arguments(inputs)
    for point in lens.points.select(points):
        if point.axes != _SQUARE:
            raise AxisError(f"{point.name} has axes {' '.join(point.axes)}, not {' '.join(_SQUARE)}.")
    _, cache = lens.run_with_cache(*args, points=points, stop_early=True, **kwargs)
    return score_patterns(cache, score)


def score_patterns(patterns: Mapping[str, Tensor], score: Score) -> HeadScores:
    """Score every head of patterns that were captured, by name.

    Raises ShapeError where the score does not give one number for each row and head.

    >>> from anylens.analysis.patterns import entropy
    >>> score_patterns({"some": torch.full((2, 3, 4, 4), 0.25)}, entropy())["some"].shape
    torch.Size([2, 3])
    """
    return HeadScores(
        {name: _scored(score, pattern) for name, pattern in patterns.items()},
        {name: _scored(score, uniform(pattern)) for name, pattern in patterns.items()},
    )


def _scored(score: Score, pattern: Tensor) -> Float[Tensor, "batch head"]:
    if not _takes_a_pattern(score):
        raise ShapeError(
            f"A score is a function of one pattern, and was given as {score!r}. Those of analysis.patterns are made by "
            "a call: entropy()."
        )
    found: object = score(pattern)
    if not isinstance(found, Tensor) or found.shape != pattern.shape[:2]:
        gave = f"shape {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise ShapeError(
            f"A score gives one number for each row and head, {list(pattern.shape[:2])}; it gave {gave}. Those of "
            "analysis.patterns are made by a call: previous_token()."
        )
    return found


def _takes_a_pattern(score: object) -> bool:
    """Return whether it can be called with one argument; where Python cannot tell, it is tried."""
    if not callable(score):
        return False
    with suppress(ValueError):  # a function written in C
        try:
            signature(score).bind(None)
        except TypeError:
            return False
    return True


def score_steps(steps: Steps, score: Score) -> HeadScores:
    """Score every head at each step of a run that `lens.record` captured: `[step, batch, head]`.

    >>> from anylens.analysis.patterns import entropy
    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> ids = lens.processor("the kings", return_tensors="pt").input_ids
    >>> _, steps = lens.record(ids, method="generate", points="blocks.0.attn.hook_pattern", max_new_tokens=3)
    >>> score_steps(steps, entropy())["blocks.0.attn.hook_pattern"].shape
    torch.Size([3, 1, 4])
    """
    each = {
        name: [score_patterns({name: value}, score) for _, value in steps.items(name)] for name in steps.names
    }
    return HeadScores(
        {name: torch.stack([one[name] for one in found]) for name, found in each.items()},
        {name: torch.stack([one.chance[name] for one in found]) for name, found in each.items()},
    )


def rollout(
    patterns: Mapping[str, Tensor] | Sequence[Tensor], *, residual: float = 0.5
) -> Float[Tensor, "batch query_pos key_pos"]:
    """Return how much of each input position reaches each position after the last layer, by attention alone.

    The mean over heads is mixed with the stream that passes by (`residual` of it), and the layers are multiplied, from
    the first to the last. (Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers",
    https://arxiv.org/abs/2005.00928.)

    >>> rollout([torch.eye(3).expand(1, 2, 3, 3)] * 4)[0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]

    Raises AxisError for patterns between different positions, as cross-attention's.
    """
    listed = list(patterns.values()) if isinstance(patterns, Mapping) else list(patterns)
    sizes = {tuple(pattern.shape[-2:]) for pattern in listed}
    if len(sizes) > 1 or any(queries != keys for queries, keys in sizes):
        raise AxisError(f"Rollout needs square patterns of one size, and was given {sorted(sizes)}.")
    if not listed:
        raise RunError("Rollout was given no patterns.")
    through = torch.eye(listed[0].shape[-1]).to(listed[0]).expand(len(listed[0]), -1, -1)
    for pattern in listed:
        mixed = residual * torch.eye(pattern.shape[-1]).to(pattern) + (1 - residual) * pattern.mean(1)
        through = mixed / mixed.sum(-1, keepdim=True) @ through
    return through
