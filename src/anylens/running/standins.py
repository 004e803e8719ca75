"""Stand-ins: explicit versions of functions that compute what they do not show.

A stand-in takes the function's own arguments and a `visit`, which it calls at each named site with the value there
and from which it takes the value to go on with. It replaces one call, in the run and the scope that asks for it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn import functional


class Visit(Protocol):
    """Called by a stand-in at each of its sites."""

    def __call__(self, site: str, value: torch.Tensor) -> torch.Tensor:
        """Take the value at a site, give back the value to go on with."""
        ...


def scaled_dot_product_attention(  # noqa: PLR0913, PLR0917 - torch's own signature
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    visit: Visit,
) -> torch.Tensor:
    """Attention as torch's documentation of the fused function defines it, with `scores` and `pattern` shown.

    Rows in which every key is masked give zeros, as the fused function does.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html
    """
    if enable_gqa:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
        value = value.repeat_interleave(query.size(-3) // value.size(-3), -3)
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.size(-1)) if scale is None else scale)
    if is_causal:
        earlier = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
        scores = scores.masked_fill(~earlier, -math.inf)
    if attn_mask is not None:
        masked = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -math.inf) if masked else scores + attn_mask
    scores = visit("scores", scores)
    dead = (scores == -math.inf).all(-1, keepdim=True)
    pattern = scores.softmax(-1).masked_fill(dead, 0.0)
    pattern = visit("pattern", pattern)
    return functional.dropout(pattern, dropout_p, training=dropout_p > 0.0) @ value


@dataclass(frozen=True)
class Heads:
    """How the input of a merging map falls apart: the number of heads, and the dimensions before the features."""

    count: int
    lead: tuple[int, ...]


def linear(
    input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, *, heads: Heads, visit: Visit
) -> torch.Tensor:
    """A linear map over concatenated heads, head by head: `result` is what each head contributes."""
    split_input = input.reshape(*heads.lead, heads.count, -1)
    split_weight = weight.unflatten(-1, (heads.count, -1))
    result = visit("result", torch.einsum("...hd,ohd->...ho", split_input, split_weight))
    total = result.sum(-2).reshape(*input.shape[:-1], -1)
    return total if bias is None else total + bias


def addmm(
    bias: torch.Tensor, input: torch.Tensor, weight: torch.Tensor, *, heads: Heads, visit: Visit
) -> torch.Tensor:
    """Like `linear`, for a weight that is kept transposed and an input whose positions are flattened."""
    return linear(input, weight.T, bias, heads=heads, visit=visit)


STAND_INS: dict[str, Callable[..., Any]] = {
    "scaled_dot_product_attention": scaled_dot_product_attention,
    "linear": linear,
    "addmm": addmm,
}
