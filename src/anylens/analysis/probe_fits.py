"""One linear probe: fitted by scikit-learn on scaled rows, held out by samples, turned back into the rows' units."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from anylens.core.errors import ShapeError
from anylens.core.optional import require

Array = NDArray[Any]


@dataclass(frozen=True)
class Fitting:
    """How probes are fitted and scored.

    Attributes:
        folds: how many parts the samples are divided in; each part is predicted by a probe of the others.
        penalty: of the squared weights of scaled features, beside the summed loss: 1 / C of a logistic regression, and
            alpha of a ridge regression.
        seed: of the folds and of the control's shuffling.
    """

    folds: int = 5
    penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 2 or self.penalty <= 0:
            raise ShapeError(
                f"Two folds at least and a penalty above 0 are needed; {self.folds} and {self.penalty} were given."
            )


PLAIN = Fitting()


@dataclass(frozen=True)
class Cell:
    """What a probe is fitted on: features, a label and the sample of each row; `types` are the control's."""

    x: Array
    y: Array
    sample: Array
    types: Array | None = None

    @property
    def classes(self) -> bool:
        """Whether the labels are classes, and not numbers."""
        return bool(np.issubdtype(self.y.dtype, np.integer))

    def some(self, which: Array) -> "Cell":
        """Return the rows that a mask chooses."""
        types = None if self.types is None else self.types[which]
        return Cell(self.x[which], self.y[which], self.sample[which], types)


def usable(rows: Cell, folds: int) -> Cell:
    """Return the rows of values that enough samples have; raise ShapeError where a probe cannot be fitted on them."""
    if not rows.classes:
        count = len(np.unique(rows.sample))
        if count < folds or rows.y.std() == 0:
            raise ShapeError(
                f"{count} samples with {len(np.unique(rows.y))} different numbers, for {folds} folds"
            )
        return rows
    values = np.unique(rows.y)
    kept = [value for value in values if len(np.unique(rows.sample[rows.y == value])) >= folds]
    if len(kept) < 2:
        raise ShapeError(
            f"{len(kept)} of {len(values)} classes has {folds} samples or more, and two are needed for {folds} folds"
        )
    return rows.some(np.isin(rows.y, kept))


def scores(rows: Cell, fitting: Fitting) -> tuple[float, float, float]:
    """Return the held-out score, the same with control labels, and what always saying the commonest value gives.

    A score is the accuracy for classes, and R2 for numbers.
    """
    splits = list(_splits(rows, fitting))
    control = Cell(rows.x, _control(rows, fitting.seed), rows.sample)
    chance = np.unique(rows.y, return_counts=True)[1].max() / len(rows.y) if rows.classes else 0.0
    return _held_out(rows, splits, fitting), _held_out(control, splits, fitting), float(chance)


def fitted(rows: Cell, fitting: Fitting) -> tuple[Float[Tensor, "value d_model"], Float[Tensor, "value"]]:
    """Fit on all rows; return weights and biases in the rows' own units.

    For classes: a row for each, the logit of the class less the mean logit of the others. For numbers: one row.
    """
    scaler, model = _fit(rows, fitting)
    weights = np.atleast_2d(model.coef_) / scaler.scale_
    bias = np.atleast_1d(model.intercept_) - weights @ scaler.mean_
    if rows.classes and len(weights) == 1:
        weights, bias = np.concatenate([-weights, weights]), np.concatenate([-bias, bias])
    elif rows.classes:
        more = len(weights) / (len(weights) - 1)
        weights, bias = (weights - weights.mean(0)) * more, (bias - bias.mean()) * more
    return torch.from_numpy(weights).float(), torch.from_numpy(bias).float()


def _fit(rows: Cell, fitting: Fitting) -> tuple[Any, Any]:
    scaler = require("sklearn.preprocessing", extra="analysis").StandardScaler().fit(rows.x)
    linear = require("sklearn.linear_model", extra="analysis")
    if rows.classes:
        model = linear.LogisticRegression(C=1 / fitting.penalty, max_iter=2000)
    else:
        model = linear.Ridge(alpha=fitting.penalty)
    return scaler, model.fit(scaler.transform(rows.x), rows.y)


def _splits(rows: Cell, fitting: Fitting) -> Iterator[tuple[Array, Array]]:
    """Yield the rows to fit on and those held out, fold by fold; all rows of a sample are on one side."""
    selection = require("sklearn.model_selection", extra="analysis")
    kind = selection.StratifiedGroupKFold if rows.classes else selection.GroupKFold
    folds = kind(fitting.folds, shuffle=True, random_state=fitting.seed)
    found: Iterator[tuple[Array, Array]] = folds.split(rows.x, rows.y, rows.sample)
    return found


def _held_out(rows: Cell, splits: list[tuple[Array, Array]], fitting: Fitting) -> float:
    said = np.empty(len(rows.y), dtype=rows.y.dtype)
    for seen, held in splits:
        if len(np.unique(rows.y[seen])) == 1:
            said[held] = rows.y[seen][0]
        else:
            scaler, model = _fit(rows.some(seen), fitting)
            said[held] = model.predict(scaler.transform(rows.x[held]))
    if rows.classes:
        return float((said == rows.y).mean())
    return float(1 - ((said - rows.y) ** 2).sum() / ((rows.y - rows.y.mean()) ** 2).sum())


def _control(rows: Cell, seed: int) -> Array:
    """Return labels that say nothing of the rows: shuffled among them, or one drawn for each type."""
    random = np.random.default_rng(seed)
    if rows.types is None:
        return random.permutation(rows.y)
    kinds, number = np.unique(rows.types, return_inverse=True)
    return rows.y[random.integers(len(rows.y), size=len(kinds))][number]
