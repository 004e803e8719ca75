"""Codes as MusicGen's decoder writes them: a row for each codebook, each row one position later than the one before."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def delayed(codes: Tensor, *, empty: float) -> Tensor:
    """Move codebook k to k positions later: [n, codebooks, frames] to [n, codebooks, frames + codebooks - 1]."""
    last = codes.shape[1] - 1
    rows = [pad(row, (late, last - late), value=empty) for late, row in enumerate(codes.unbind(1))]
    return torch.stack(rows, dim=1)


def before(codes: Tensor, *, start: int) -> Tensor:
    """Return what the decoder is given when it is to write these: the start, then all but the last.

    codes: [n, codebooks, positions]. Returned: [n * codebooks, positions], codebooks being rows of the batch.
    """
    return pad(codes, (1, 0), value=start)[..., :-1].flatten(0, 1)
