"""One training step on the sparse path, for the variants that keep the largest pre-activations.

Shapes: B rows, D the width of a row, F latents, K pairs of a row.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from anylens.sae.base import Sae, Terms, variance
from anylens.sae.screen import helps, largest
from anylens.sae.sparse import Gradients, Pairs, decode, gradients


@dataclass(frozen=True)
class Selected:
    """The pairs that a variant keeps, and all pre-activations `[B, F]` where they were computed."""

    pairs: Pairs
    pre_BF: Tensor | None = None


Select = Callable[[Tensor], Selected]  # from centred rows


def pre_activations(sae: Sae, centred_BD: Tensor) -> Tensor:
    """Return the one dense product of a step, `[B, F]`."""
    return torch.addmm(sae.b_enc, centred_BD, sae.encoder.T)


def select_topk(sae: Sae, centred_BD: Tensor, k: int, *, screen: bool | None) -> Selected:
    """Select the k largest pre-activations of each row, with the bfloat16 screen or without; None is where it helps."""
    count = min(k, sae.d_sae)  # a rank may have fewer latents than k
    if (helps(centred_BD.device) if screen is None else screen) and centred_BD.dtype == torch.float32:
        chosen = largest(centred_BD, sae.encoder, sae.b_enc, count)
        return Selected(sae.across.largest_of_rows(chosen.values, chosen.latents, k))
    pre_BF = pre_activations(sae, centred_BD)
    values, latents = pre_BF.topk(count, dim=1, sorted=False)
    return Selected(sae.across.largest_of_rows(values, latents, k), pre_BF)


@torch.no_grad()
def sparse_step(sae: Sae, x_BD: Tensor, dead_F: Tensor, select: Select, auxiliary: float) -> Terms:
    """Add the gradients of reconstruction and AuxK; `select` says which pairs are active."""
    centred_BD = x_BD - sae.b_dec
    selected = select(centred_BD)
    pairs = selected.pairs
    error_BD = sae.across.total(decode(pairs, sae.decoder)) + sae.b_dec - x_BD
    slope = 2 / len(x_BD)
    weights = (sae.encoder, sae.decoder)
    parts = {"reconstruction": error_BD.pow(2).sum(1).mean()}
    found = gradients(pairs, slope * error_BD, centred_BD, weights)
    add(sae, found, slope * error_BD.sum(0))
    count = int(sae.across.total(dead_F.sum()))
    if count and auxiliary:
        scale = auxiliary * min(1.0, 2 * count / sae.d_in)
        revived = _of_the_dead(sae, centred_BD, selected.pre_BF, dead_F, count)
        # what the dead say of the error, less the error
        left_BD = sae.across.total(decode(revived, sae.decoder)) + error_BD
        parts["auxiliary"] = scale * left_BD.pow(2).sum(1).mean()
        add(sae, gradients(revived, scale * slope * left_BD, centred_BD, weights), None)
    active = pairs.values > 0
    l0 = sae.across.total(active.sum()) / len(x_BD)
    loss = torch.stack(list(parts.values())).sum()
    return Terms(loss, parts, _fired(pairs, sae.d_sae), l0, variance(x_BD))


def _fired(pairs: Pairs, latents: int) -> Tensor:
    """Return which latents are active in some row."""
    largest = pairs.values.new_zeros(latents)
    return largest.index_add_(0, pairs.latents.flatten(), pairs.values.flatten()) > 0


def _of_the_dead(sae: Sae, centred_BD: Tensor, pre_BF: Tensor | None, dead_F: Tensor, count: int) -> Pairs:
    """Return the largest pre-activations of the `count` dead latents, half as many as a row is wide."""
    numbers = dead_F.nonzero().flatten()
    pre = _pre_of(sae, centred_BD, numbers) if pre_BF is None else pre_BF[:, numbers]
    wanted = min(count, max(1, sae.d_in // 2))
    values, places = pre.topk(min(len(numbers), wanted), dim=1, sorted=False)
    return sae.across.largest_of_rows(values, numbers[places], wanted)


def _pre_of(sae: Sae, centred_BD: Tensor, numbers: Tensor) -> Tensor:
    return torch.addmm(sae.b_enc[numbers], centred_BD, sae.encoder[numbers].T)


def add(sae: Sae, found: Gradients, at_b_dec: Tensor | None) -> None:
    """Add gradients to the parameters' own; `at_b_dec` is what the decoder's bias gets besides, once."""
    b_dec = found.b_dec if at_b_dec is None else found.b_dec + sae.across.once(at_b_dec)
    grads = (
        (sae.encoder, found.encoder),
        (sae.decoder, found.decoder),
        (sae.b_enc, found.b_enc),
        (sae.b_dec, b_dec),
    )
    for weight, grad in grads:
        weight.grad = grad if weight.grad is None else weight.grad.add_(grad)
