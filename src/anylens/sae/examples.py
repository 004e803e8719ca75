"""The rows that features fire for most strongly."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from anylens.sae.base import Sae
from anylens.store.rows import Rows


@dataclass(frozen=True, order=True)
class Example:
    """A row in which a feature is active: how strongly, and where the row is from."""

    strength: float
    sample: int
    step: int
    position: tuple[int, ...]

    def __str__(self) -> str:
        step = f" step {self.step}" if self.step else ""
        where = ", ".join(map(str, self.position))
        return f"{self.strength:.2f} in sample {self.sample}{step} at ({where})"


@torch.no_grad()
def strongest(
    sae: Sae, batches: Iterable[Rows], features: Iterable[int], *, count: int = 8, apart: bool = True
) -> dict[int, list[Example]]:
    """Return for some features the rows in which they are most active, the strongest first.

    Args:
        sae: the autoencoder.
        batches: rows, gone through once.
        features: the numbers of the features.
        count: rows for each at most.
        apart: whether each sample is shown once only, at its strongest row.
    """
    wanted = [sae.feature(number).number for number in features]
    best: dict[int, dict[object, Example]] = {number: {} for number in wanted}
    for batch in batches:
        acts_NF = sae.encode(batch.values.to(sae.encoder.device, sae.encoder.dtype))[:, wanted].cpu()
        for column, number in enumerate(wanted):
            values, rows = acts_NF[:, column].topk(min(len(acts_NF), 4 * count))
            for value, row in zip(values.tolist(), rows.tolist(), strict=True):
                if value > 0:
                    _keep(best[number], _example(batch, row, value), apart=apart)
            kept = heapq.nlargest(count, best[number].items(), key=lambda item: item[1])
            best[number] = dict(kept)
    return {number: sorted(found.values(), reverse=True) for number, found in best.items()}


def _keep(best: dict[object, Example], one: Example, *, apart: bool) -> None:
    key = one.sample if apart else (one.sample, one.step, one.position)
    if key not in best or best[key] < one:
        best[key] = one


def _example(batch: Rows, row: int, strength: float) -> Example:
    step, *position = batch.where[row].tolist()
    return Example(strength, int(batch.sample[row]), step, tuple(position))
