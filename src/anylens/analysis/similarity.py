"""How alike two representations are: of two layers, two models or two seeds, on the same rows.

The measures do not mind how features are turned or scaled as a whole, so that models which share no feature compare.
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from anylens.analysis.grid import Grid, Label
from anylens.core.errors import ShapeError
from anylens.store.rows import Rows

Values = Float[Tensor, "row feature"]
FEWEST = 4  # rows that the unbiased estimate needs


def cka(one: Values, other: Float[Tensor, "row other_feature"]) -> float:
    """Return the linear centred kernel alignment of two sets of features of the same rows: 0 is unlike, 1 alike.

    Equal to 1 where one is a rotated and scaled copy of the other. With fewer rows than features it is too large, even
    between random features: use `minibatch_cka` there.

    Raises ShapeError if the rows are not as many, or their features do not vary.

    Source: Kornblith et al. 2019, https://arxiv.org/abs/1905.00414

    >>> values = torch.randn(50, 3)
    >>> turned = torch.tensor([[0.0, 2.0, 0.0], [-2.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    >>> round(cka(values, values @ turned), 4)
    1.0
    """
    x, y = _centred(one, other)
    return float(torch.linalg.norm(y.T @ x) ** 2 / (torch.linalg.norm(x.T @ x) * torch.linalg.norm(y.T @ y)))


def minibatch_cka(
    one: Values, other: Float[Tensor, "row other_feature"], *, batch: int = 256, seed: int = 0
) -> float:
    """Return the linear CKA from an unbiased estimate in each of many small batches: fair with few rows, or very many.

    Random features come to 0 on average, so that it can be a little below. The rows are shuffled, and those that do not
    fill a batch are left out.

    Raises ShapeError if the rows are not as many, or do not fill a batch of at least 4.

    Sources: Nguyen et al. 2021, https://arxiv.org/abs/2010.15327; Song et al. 2012 for the unbiased estimate,
    https://jmlr.org/papers/v13/song12a.html

    >>> values = torch.randn(64, 100)
    >>> round(minibatch_cka(values, -3 * values, batch=32), 4)
    1.0
    """
    x, y = _centred(one, other)
    if not FEWEST <= batch <= len(x):
        raise ShapeError(f"{len(x)} rows do not fill a batch of {batch}; one has at least {FEWEST}.")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    sums = torch.zeros(3, dtype=torch.float64)
    for rows in order[: len(x) // batch * batch].split(batch):
        k, left = (part[rows] @ part[rows].T for part in (x, y))
        sums += torch.stack([_hsic(k, left), _hsic(k, k), _hsic(left, left)]).cpu()
    return float(sums[0] / (sums[1] * sums[2]).sqrt())


def canonical_correlations(
    one: Values, other: Float[Tensor, "row other_feature"], *, kept: float = 0.99
) -> Float[Tensor, "direction"]:
    """Return how strongly the directions of two sets of features correlate at best, the strongest first.

    Only the principal directions that hold a share `kept` of the variance take part; there are as many correlations as
    the set with fewer of these has directions.

    Raises ShapeError if the rows are not as many, or their features do not vary.

    Source: Raghu et al. 2017, https://arxiv.org/abs/1706.05806

    >>> shared, own, others = torch.randn(1000, 1), torch.randn(1000, 1), torch.randn(1000, 1)
    >>> found = canonical_correlations(torch.cat([shared, own], 1), torch.cat([others, 5 * shared], 1))
    >>> bool(found[0] > 0.999), bool(found[1] < 0.2)
    (True, True)
    """
    first, second = (_principal(part, kept) for part in _centred(one, other))
    found: Tensor = torch.linalg.svdvals(first.T @ second).clamp(max=1).float()
    return found


def svcca(one: Values, other: Float[Tensor, "row other_feature"], *, kept: float = 0.99) -> float:
    """Return the mean canonical correlation of two sets of features of the same rows, of their principal directions.

    Equal to 1 where each is a linear map of the other. With few rows everything correlates: give many more rows than
    features, and compare with rows that were shuffled. Arguments and errors are those of `canonical_correlations`.

    Source: Raghu et al. 2017, https://arxiv.org/abs/1706.05806

    >>> values = torch.randn(200, 3)
    >>> round(svcca(values, values @ torch.randn(3, 3), kept=1.0), 4)
    1.0
    """
    return float(canonical_correlations(one, other, kept=kept).mean())


def compare(
    one: Mapping[str, Rows],
    other: Mapping[str, Rows] | None = None,
    *,
    measure: Callable[[Tensor, Tensor], float] = cka,
) -> Grid:
    """Compare every point of one model with every point of another, or of the same, on the same rows.

    Args:
        one, other: rows by point, as `anylens.harvest.collect` gives them of the same inputs and positions.
        measure: from two sets of features `[row, feature]` to a number: `cka`, `minibatch_cka`, `svcca`.

    Returns:
        A grid with the axes `row` (of length one), `one` and `other`.

    Raises ShapeError if the rows are not of the same samples, steps and positions.

    >>> from anylens.harvest import collect
    >>> from anylens.zoo.feeding import Samples
    >>> lens, pictures = anylens.load("zoo:shapes-vit"), Samples("shapes-vit", 64)
    >>> grid = compare(collect(lens, pictures, points="blocks.*.hook_resid_post", positions="first"))
    >>> first, second, last = (f"blocks.{layer}.hook_resid_post" for layer in (0, 1, 5))
    >>> bool(grid.at(one=first, other=second) > grid.at(one=first, other=last))
    True
    """
    other = one if other is None else other
    values = torch.zeros(1, len(one), len(other))
    for i, (name, first) in enumerate(one.items()):
        for j, (against, second) in enumerate(other.items()):
            if not (torch.equal(first.sample, second.sample) and torch.equal(first.where, second.where)):
                raise ShapeError(f"{name} and {against} do not have rows of the same samples and positions.")
            values[0, i, j] = measure(first.values, second.values)
    labels: dict[str, tuple[Label, ...]] = {"row": (0,), "one": tuple(one), "other": tuple(other)}
    return Grid(values, ("row", "one", "other"), labels, torch.zeros(1))


def nearest_features(
    one: Float[Tensor, "feature d_model"], other: Float[Tensor, "other_feature d_model"], *, count: int = 1
) -> tuple[Int[Tensor, "feature count"], Float[Tensor, "feature count"]]:
    """Return for each direction of one set the nearest ones of another, and their cosines, the nearest first.

    For two autoencoders of one point give their decoders: `nearest_features(first.decoder, second.decoder)`. The mean
    of the first cosines is the mean maximum cosine similarity.

    Raises ShapeError if the directions differ in width, or there are fewer than wanted.

    Source: Sharkey et al. 2022, https://www.alignmentforum.org/posts/z6QQJbtpkEAX3Aojj

    >>> numbers, cosines = nearest_features(torch.eye(3), torch.tensor([[0.0, 2.0, 0.0], [1.0, 1.0, 0.0]]))
    >>> numbers.flatten().tolist(), [round(one, 3) for one in cosines.flatten().tolist()]
    ([1, 0, 0], [0.707, 1.0, 0.0])
    """
    if one.shape[-1] != other.shape[-1] or not 0 < count <= len(other):
        raise ShapeError(
            f"Directions of {list(one.shape)} do not have {count} near ones of {list(other.shape)}."
        )
    first, second = (part.detach() / part.detach().norm(dim=1, keepdim=True) for part in (one, other))
    cosines, numbers = (first @ second.T).topk(count, dim=1)
    return numbers, cosines


def _centred(*given: Tensor) -> tuple[Tensor, ...]:
    """Return features less their means, in float64."""
    if any(part.ndim != 2 for part in given) or len({len(part) for part in given}) > 1:
        raise ShapeError(
            f"Features of the same rows are [row, feature], and {[list(part.shape) for part in given]} were given."
        )
    centred = tuple(part.double() - part.double().mean(0) for part in given)
    if not all(bool(part.any()) for part in centred):
        raise ShapeError("Features that are the same in every row are like nothing and unlike nothing.")
    return centred


def _principal(centred: Tensor, kept: float) -> Tensor:
    """Return rows in the principal directions that hold a share of the variance, each of length one: `[row, k]`."""
    scores, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    share = sizes.square().cumsum(0) / sizes.square().sum()
    rank = int((sizes > sizes[0] * max(centred.shape) * torch.finfo(sizes.dtype).eps).sum())
    found: Tensor = scores[:, : min(rank, int((share < kept).sum()) + 1)]
    return found


def _hsic(k: Tensor, left: Tensor) -> Tensor:
    """Return the unbiased estimate of the independence criterion from two Gram matrices `[row, row]` (Song et al.)."""
    n = len(k)
    k, left = (gram - gram.diagonal().diag() for gram in (k, left))
    traced = (k * left).sum()
    means = k.sum() * left.sum() / ((n - 1) * (n - 2))
    crossed = 2 / (n - 2) * (k.sum(0) * left.sum(0)).sum()
    return (traced + means - crossed) / (n * (n - 3))
