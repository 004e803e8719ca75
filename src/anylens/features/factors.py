"""The factor value that each feature finds best, where the truth is known.

`anylens.sae.truth.find_factors` asks for each value which feature finds it; this asks for each feature what it finds.
Shapes: N rows, F features, V values of all factors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from anylens.sae.truth import FEWEST


@dataclass(frozen=True)
class Factor:
    """What a feature finds.

    Attributes:
        factor, value: the factor and its value, in words.
        auroc: how well the feature tells rows with the value from those with another: 1 is perfect, 0.5 chance. The
            value was chosen in one half of the samples, and this is of the other half.
        control: the same with labels shuffled among rows.
    """

    factor: str
    value: str
    auroc: float
    control: float

    def __str__(self) -> str:
        return f"{self.factor}: {self.value}"


def factors_of(
    acts_NF: Tensor, labels: Mapping[str, Tensor], values: Mapping[str, Sequence[str]], sample_N: Tensor
) -> list[Factor | None]:
    """Return for each feature the value that it finds best; None where too few rows have any value.

    Args:
        acts_NF: activations of rows.
        labels: the factors, `[row]` ints each, -1 where a row has none.
        values: what each factor's values are called.
        sample_N: which sample each row is of, so that both halves are of different samples.
    """
    random = torch.Generator().manual_seed(0)
    samples, number_N = sample_N.unique(return_inverse=True)
    first_N = (torch.randperm(len(samples), generator=random) < len(samples) // 2)[number_N]
    named: list[tuple[str, str]] = []
    scores: list[Tensor] = []
    for factor, label_N in labels.items():
        halves = [(label_N >= 0) & side for side in (first_N, ~first_N)]
        scored = [_scores(acts_NF[half], label_N[half], random) for half in halves]
        for value in sorted(scored[0].keys() & scored[1].keys()):
            named.append((factor, values[factor][value] if factor in values else str(value)))
            scores.append(torch.stack([scored[0][value], scored[1][value]]))
    return _best(named, torch.stack(scores)) if scores else [None] * acts_NF.shape[1]


def _scores(acts_NF: Tensor, label_N: Tensor, random: torch.Generator) -> dict[int, Tensor]:
    """Return for each value the AUROC of each feature by the labels, and by the labels shuffled: `[2, F]`.

    Values with too few rows, or too few without, are left out.
    """
    ranks_NF = ranks(acts_NF)
    mixed_N = label_N[torch.randperm(len(label_N), generator=random)]
    found = {}
    for value in label_N.unique().tolist():
        count = int((label_N == value).sum())
        others = len(label_N) - count
        if min(count, others) >= FEWEST:
            sums = torch.stack([ranks_NF[label == value].sum(0) for label in (label_N, mixed_N)])
            found[value] = ((sums - count * (count + 1) / 2) / (count * others)).float()
    return found


def ranks(values_NF: Tensor) -> Tensor:
    """Return the rank of each value in its column, from 1, the mean rank for those that are alike: `[N, F]` float64.

    The AUROC is a sum of ranks: source, Mann and Whitney 1947, https://doi.org/10.1214/aoms/1177730491
    """
    columns = values_NF.T.contiguous()
    ordered = columns.sort(dim=1).values
    below = torch.searchsorted(ordered, columns) + torch.searchsorted(ordered, columns, right=True)
    return ((below + 1).double() / 2).T


def _best(named: Sequence[tuple[str, str]], scores_V22F: Tensor) -> list[Factor | None]:
    """Choose by the first half, and score in the second; the same for the shuffled labels."""
    (first, mixed_first), (second, mixed_second) = (half.unbind(1) for half in scores_V22F.unbind(1))
    chosen, control = first.argmax(0), mixed_first.argmax(0)
    score = second.gather(0, chosen[None])[0].tolist()
    chance = mixed_second.gather(0, control[None])[0].tolist()
    found: list[Factor | None] = []
    for place, right, wrong in zip(chosen.tolist(), score, chance, strict=True):
        factor, value = named[place]
        found.append(Factor(factor, value, right, wrong))
    return found
