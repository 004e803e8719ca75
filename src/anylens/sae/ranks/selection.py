"""The exact choice of the largest numbers when they lie on several ranks."""

from collections.abc import Callable

import torch
from torch import Tensor

KEYS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
DIGIT = 8  # bits that a round settles


def among_columns(everyones_BC: Tensor, k: int) -> Tensor:
    """Return which are the k largest of each row, `[B, C]` bool; of equal ones the first, so that all ranks agree."""
    if everyones_BC.shape[1] <= k:
        return torch.ones_like(everyones_BC, dtype=torch.bool)
    edge_B1 = everyones_BC.topk(k, dim=1, sorted=False).values.amin(1, keepdim=True)
    above, equal = everyones_BC > edge_B1, everyones_BC == edge_B1
    room_B1 = k - above.sum(1, keepdim=True)
    return above | (equal & (equal.cumsum(1) <= room_B1))


def count_among(values_N: Tensor, wanted: int, *, rank: int, gather: Callable[[Tensor], list[Tensor]]) -> int:
    """Return how many of this rank's positive numbers are among the `wanted` largest of all ranks together.

    The bits of numbers that are not negative order like the numbers, so the smallest that is kept is found digit by
    digit: in each round the ranks add up how many they have from each value of the digit on. Little is exchanged,
    however many numbers there are, and numbers that are equal go by the order of ranks.

    Args:
        values_N: numbers in falling order.
        wanted: how many are kept on all ranks together.
        rank: the number of this rank.
        gather: gives every rank's tensor.
    """
    keys = values_N.relu().view(KEYS[values_N.element_size()]).long().flip(0)
    edge = _smallest_kept(keys, wanted, 8 * values_N.element_size(), gather)
    above, from_edge = _count_from(keys, edge + 1), _count_from(keys, edge)
    everyones = torch.stack(gather(torch.stack([above, from_edge - above]).squeeze(1))).tolist()
    if not int(edge):
        return int(everyones[rank][0])
    room = wanted - sum(more for more, _ in everyones) - sum(equal for _, equal in everyones[:rank])
    more, equal = everyones[rank]
    return int(more + min(max(room, 0), equal))


def _smallest_kept(keys: Tensor, wanted: int, bits: int, gather: Callable[[Tensor], list[Tensor]]) -> Tensor:
    """Return the key of the smallest number that is kept, `[1]`; 0 where all positive ones are."""
    edge = torch.zeros(1, dtype=torch.int64, device=keys.device)
    for shift in range(bits - DIGIT, -1, -DIGIT):
        values = 2 ** (DIGIT - 1) if shift == bits - DIGIT else 2**DIGIT  # the first bit is the sign
        steps = edge + (torch.arange(values, device=keys.device) << shift)
        counts = torch.stack(gather(_count_from(keys, steps))).sum(0)
        edge = steps[(counts >= wanted).sum().clamp_min(1) - 1].reshape(1)
    return edge


def _count_from(keys: Tensor, steps: Tensor) -> Tensor:
    """Return how many of the rising keys are at least each step."""
    return len(keys) - torch.searchsorted(keys, steps)
