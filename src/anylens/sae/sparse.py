"""The sparse step: after the encoder's product nothing dense in rows x latents is made.

Shapes: B rows, D the width of a row, F latents, K pairs of a row. A pair is a row and one of its active latents.

The reconstruction is a weighted sum of decoder rows (`embedding_bag`). The gradient of an activation is the product of
its decoder row with the error. A weight's gradient is a sum over the pairs of its latent: pairs sorted by latent make
that a sum over segments, `embedding_bag` again, with the rows of the batch as the table.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 2**22  # numbers of gathered decoder rows that are held at once


@dataclass(frozen=True)
class Pairs:
    """The active latents of rows: `values` and `latents`, both `[B, K]`; a value of zero is no activation."""

    values: Tensor
    latents: Tensor


def decode(pairs: Pairs, decoder_FD: Tensor) -> Tensor:
    """Return the weighted sums of decoder rows, `[B, D]`."""
    return functional.embedding_bag(pairs.latents, decoder_FD, per_sample_weights=pairs.values, mode="sum")


def products(grad_BD: Tensor, pairs: Pairs, decoder_FD: Tensor) -> Tensor:
    """Return each pair's product of decoder row and the row's gradient, `[B, K]`; zero where nothing is active."""
    rows, count = pairs.latents.shape
    found = torch.empty(rows, count, dtype=grad_BD.dtype, device=grad_BD.device)
    size = max(1, CHUNK // (count * decoder_FD.shape[1]))
    for start in range(0, rows, size):
        some = slice(start, start + size)
        gathered = functional.embedding(pairs.latents[some], decoder_FD)  # [b, K, D]
        found[some] = torch.bmm(gathered, grad_BD[some].unsqueeze(2)).squeeze(2)
    return found * (pairs.values > 0)


@dataclass(frozen=True)
class Segments:
    """Pairs sorted by latent: the row of each, the place that each had, and where each latent's begin."""

    rows: Tensor  # [B * K]
    order: Tensor  # [B * K]
    begins: Tensor  # [F]

    @classmethod
    def of(cls, pairs: Pairs, latents: int) -> "Segments":
        """Sort pairs by latent."""
        flat = pairs.latents.flatten()
        order = torch.argsort(flat, stable=True)
        counts = torch.bincount(flat, minlength=latents)
        return cls(order // pairs.latents.shape[1], order, counts.cumsum(0) - counts)

    def sums(self, weights_BK: Tensor, table_BD: Tensor) -> Tensor:
        """Return for each latent the sum over its pairs of weight times the pair's row of a table, `[F, D]`."""
        return functional.embedding_bag(
            self.rows, table_BD, self.begins, per_sample_weights=weights_BK.flatten()[self.order], mode="sum"
        )


@dataclass(frozen=True)
class Gradients:
    """Of the four weights of an autoencoder."""

    encoder: Tensor
    decoder: Tensor
    b_enc: Tensor
    b_dec: Tensor  # through what the encoder subtracts


def gradients(
    pairs: Pairs, error_BD: Tensor, centred_BD: Tensor, weights: tuple[Tensor, Tensor]
) -> Gradients:
    """Return the gradients of a term whose gradient at the decoded rows is `error_BD`.

    Args:
        pairs: what was decoded.
        error_BD: the gradient at the weighted sums of decoder rows.
        centred_BD: what the encoder multiplied: rows less the decoder's bias.
        weights: encoder and decoder, `[F, D]` each.
    """
    encoder_FD, decoder_FD = weights
    at_BK = products(error_BD, pairs, decoder_FD)
    segments = Segments.of(pairs, len(decoder_FD))
    b_enc = torch.zeros(len(decoder_FD), dtype=at_BK.dtype, device=at_BK.device)
    b_enc.index_add_(0, pairs.latents.flatten(), at_BK.flatten())
    return Gradients(
        segments.sums(at_BK, centred_BD),
        segments.sums(pairs.values, error_BD),
        b_enc,
        -(b_enc @ encoder_FD),
    )
