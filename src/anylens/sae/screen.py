"""The screen: candidates for the largest pre-activations found in bfloat16, rescored in float32, proven or recomputed.

A product in bfloat16 is several times faster where the hardware multiplies in it, and errs by less than a bound that
follows from its rounding. A row is settled if its k-th rescored candidate exceeds what any other latent can have;
otherwise the row is multiplied again in float32. So the choice is that of float32, whatever the data are.

Shapes: B rows, D the width of a row, F latents, K wanted, C candidates.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

CANDIDATES = 4  # for each latent wanted
CHUNK = 2**22  # numbers of gathered encoder rows that are held at once
# Both factors and the result are rounded to 8 bits, by at most 2^-9 of each: 3 * 2^-9 of |x| |w|, and the float32 sum
# adds less than the rest of 2^-7 up to a width of 30,000.
ROUNDED = 2**-7


@dataclass(frozen=True)
class Chosen:
    """The largest pre-activations of rows: values and latents `[B, K]`, and how many rows had to be recomputed."""

    values: Tensor
    latents: Tensor
    recomputed: int


def helps(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()


@torch.no_grad()
def largest(x_BD: Tensor, encoder_FD: Tensor, b_enc_F: Tensor, k: int) -> Chosen:
    """Return the k largest of `x @ encoder.T + b_enc` in each row, as float32 has them; those below zero in any order.

    Args:
        x_BD: float32 rows, the decoder's bias taken off.
        encoder_FD, b_enc_F: the encoder.
        k: how many are wanted.
    """
    count = min(CANDIDATES * k, len(encoder_FD))
    rough_BF = (x_BD.bfloat16() @ encoder_FD.bfloat16().T).float() + b_enc_F
    least_BC, candidates_BC = rough_BF.topk(count, dim=1)
    exact_BC = _rescored(x_BD, candidates_BC, encoder_FD, b_enc_F)
    values, places = exact_BC.topk(k, dim=1)
    latents = candidates_BC.gather(1, places)
    slack_B = ROUNDED * x_BD.norm(dim=1) * encoder_FD.norm(dim=1).max()
    settled_B = values[:, -1].clamp_min(0) >= least_BC[:, -1] + slack_B
    open_B = ~settled_B if count < len(encoder_FD) else torch.zeros_like(settled_B)
    again = open_B.nonzero().flatten()
    if len(again):
        pre = torch.addmm(b_enc_F, x_BD[again], encoder_FD.T)
        values[again], latents[again] = pre.topk(k, dim=1)
    return Chosen(values, latents, len(again))


def _rescored(x_BD: Tensor, candidates_BC: Tensor, encoder_FD: Tensor, b_enc_F: Tensor) -> Tensor:
    """Return the candidates' pre-activations in float32."""
    found = torch.empty(candidates_BC.shape, dtype=x_BD.dtype, device=x_BD.device)
    size = max(1, CHUNK // (candidates_BC.shape[1] * x_BD.shape[1]))
    for start in range(0, len(x_BD), size):
        some = slice(start, start + size)
        gathered = functional.embedding(candidates_BC[some], encoder_FD)  # [b, C, D]
        found[some] = torch.bmm(gathered, x_BD[some].unsqueeze(2)).squeeze(2)
    return found + b_enc_F[candidates_BC]
