"""One training step on the sparse path, for the variants that keep the largest pre-activations.

Shapes: B rows, D the width of a row, F latents, K pairs of a row.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from anylens.sae.base import Sae, Terms, variance
from anylens.sae.sparse import Gradients, Pairs, decode, gradients

Select = Callable[[Tensor], tuple[Tensor, Tensor]]


@torch.no_grad()
def sparse_step(sae: Sae, x_BD: Tensor, dead_F: Tensor, select: Select, auxiliary: float) -> Terms:
    """Add the gradients of reconstruction and AuxK; `select` gives values and latents `[B, K]` of pre-activations."""
    centred_BD = x_BD - sae.b_dec
    pre_BF = torch.addmm(sae.b_enc, centred_BD, sae.encoder.T)
    pairs = Pairs(*select(pre_BF))
    error_BD = decode(pairs, sae.decoder) + sae.b_dec - x_BD
    slope = 2 / len(x_BD)
    weights = (sae.encoder, sae.decoder)
    reconstruction = float(error_BD.pow(2).sum(1).mean())
    parts = {"reconstruction": reconstruction}
    found = gradients(pairs, slope * error_BD, centred_BD, weights)
    add(sae, found, slope * error_BD.sum(0))
    count = int(dead_F.sum())
    if count and auxiliary:
        scale = auxiliary * min(1.0, 2 * count / sae.d_in)
        revived = _of_the_dead(pre_BF, dead_F, min(count, max(1, sae.d_in // 2)))
        left_BD = decode(revived, sae.decoder) + error_BD  # what the dead say of the error, less the error
        parts["auxiliary"] = scale * float(left_BD.pow(2).sum(1).mean())
        add(sae, gradients(revived, scale * slope * left_BD, centred_BD, weights), None)
    active = pairs.values > 0
    fired = torch.zeros(sae.d_sae, dtype=torch.bool, device=x_BD.device)
    fired[pairs.latents[active]] = True
    return Terms(
        sum(parts.values()),
        parts,
        fired,
        float(active.sum() / len(x_BD)),
        reconstruction / max(variance(x_BD), 1e-12),
    )


def _of_the_dead(pre_BF: Tensor, dead_F: Tensor, k: int) -> Pairs:
    """Return the largest pre-activations of dead latents."""
    numbers = dead_F.nonzero().flatten()
    values, places = pre_BF[:, numbers].topk(k, dim=1, sorted=False)
    return Pairs(values.relu(), numbers[places])


def add(sae: Sae, found: Gradients, at_b_dec: Tensor | None) -> None:
    """Add gradients to the parameters' own; `at_b_dec` is what the decoder's bias gets besides."""
    b_dec = found.b_dec if at_b_dec is None else found.b_dec + at_b_dec
    grads = (
        (sae.encoder, found.encoder),
        (sae.decoder, found.decoder),
        (sae.b_enc, found.b_enc),
        (sae.b_dec, b_dec),
    )
    for weight, grad in grads:
        weight.grad = grad if weight.grad is None else weight.grad.add_(grad)
