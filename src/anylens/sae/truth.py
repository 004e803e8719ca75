"""Features against a known truth: how well single features find each factor's values, and what steering changes.

For worlds whose factors are known, such as the zoo's, and for any other labels of rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from anylens.core.errors import ShapeError

CHUNK = 2**24  # numbers that are sorted at once
FEWEST = 8  # rows with and without a value that are needed on either side to score it
Labels = Mapping[str, Tensor]  # factor -> [row] int, -1 where the row has none


@dataclass(frozen=True)
class Found:
    """The feature that finds a factor's value best.

    Attributes:
        factor, value: what is found; `value` is its number.
        feature: the feature that told it best in one half of the samples.
        auroc: of that feature in the other half: 1 is perfect, 0.5 chance.
        control: the same with labels shuffled among rows: what choosing the best of so many gives by itself.
    """

    factor: str
    value: int
    feature: int
    auroc: float
    control: float


def auroc(scores_NF: Tensor, positive_N: Tensor) -> Tensor:
    """Return for each column how likely a positive row has the larger score than another, ties counting half: `[F]`.

    NaN where all rows are alike. Equal to the Mann-Whitney U over the number of pairs.
    """
    if scores_NF.shape[0] != len(positive_N):
        raise ShapeError(f"There are {len(positive_N)} labels for {scores_NF.shape[0]} rows.")
    found, size = [], max(1, CHUNK // max(1, len(scores_NF)))
    for columns in scores_NF.split(size, dim=1):
        above = columns[positive_N].T.contiguous()  # [f, positives]
        others = columns[~positive_N].T.contiguous().sort(dim=1).values
        below = torch.searchsorted(others, above) + torch.searchsorted(others, above, right=True)
        pairs = above.shape[1] * others.shape[1]
        found.append(
            below.double().sum(1) / (2 * pairs) if pairs else below.new_full((len(above),), 0) * torch.nan
        )
    return torch.cat(found).float()


def find_factors(acts_NF: Tensor, labels: Labels, sample_N: Tensor, *, seed: int = 0) -> list[Found]:
    """Return for every value of every factor the single feature that finds it best.

    The samples are divided in halves: the feature is chosen in one and scored in the other, so that rows of one
    sample never lie on both sides. Rows that have no value of the factor are left out; values with fewer than 8 rows
    on a side are, too.

    Args:
        acts_NF: activations of rows.
        labels: the factors, `[row]` each.
        sample_N: which sample each row is of.
        seed: of the halves and of the control's shuffling.
    """
    random = torch.Generator().manual_seed(seed)
    samples, number_N = sample_N.unique(return_inverse=True)
    first_N = (torch.randperm(len(samples), generator=random) < len(samples) // 2)[number_N]
    found = []
    for factor, label_N in labels.items():
        known = label_N >= 0
        halves = [(acts_NF[known & side], label_N[known & side]) for side in (first_N, ~first_N)]
        mixed = [label[torch.randperm(len(label), generator=random)] for _, label in halves]
        for value in label_N[known].unique().tolist():
            counts = [min(int((label == value).sum()), int((label != value).sum())) for _, label in halves]
            if min(counts, default=0) >= FEWEST:
                feature, score = _best(halves, [label == value for _, label in halves])
                _, control = _best(halves, [label == value for label in mixed])
                found.append(Found(factor, value, feature, score, control))
    return found


def _best(halves: Sequence[tuple[Tensor, Tensor]], positive: Sequence[Tensor]) -> tuple[int, float]:
    """Choose a feature in the first half, score it in the second."""
    feature = int(auroc(halves[0][0], positive[0]).nan_to_num(0).argmax())
    return feature, float(auroc(halves[1][0][:, feature : feature + 1], positive[1]))


def share_over(found: Sequence[Found], bar: float = 0.95) -> float:
    """Return the share of factor values whose best feature scores over a bar."""
    return sum(one.auroc > bar for one in found) / len(found) if found else float("nan")


@dataclass(frozen=True)
class Steered:
    """What steering towards a value of a factor did.

    Attributes:
        changed: the share of outputs that had another value and have the intended one now.
        kept: of the other factors of all those outputs, the share that stayed.
        outputs: how many outputs had another value before.
    """

    changed: float
    kept: float
    outputs: int


def steered(before: Labels, after: Labels, factor: str, value: int) -> Steered:
    """Compare what outputs show before and after steering, as a judge who does not know the autoencoder says.

    Args:
        before, after: the factors of each output, `[output]`; -1 where the judge sees none.
        factor, value: what was steered towards.
    """
    open_ = before[factor] != value
    count = int(open_.sum())
    if not count:
        return Steered(float("nan"), float("nan"), 0)
    changed = (after[factor][open_] == value).double().mean()
    others = [(after[name][open_] == before[name][open_]).double() for name in before if name != factor]
    kept = torch.stack(others).mean() if others else torch.tensor(float("nan"))
    return Steered(float(changed), float(kept), count)
