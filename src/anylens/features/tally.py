"""Numbers on every feature, from rows that come batch by batch: how often, how strongly, how distributed.

Shapes: N rows, F features, B bins.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 32  # even, as halves of a histogram are merged


@dataclass(frozen=True)
class Histogram:
    """How often a feature's activation lay in each of equally wide bins, from 0 to `top`.

    Zeros are left out, and there are no bins where it was never active.
    """

    counts: tuple[int, ...]
    top: float


class Tally:
    """Counts of activations, kept in memory that does not grow with the rows.

    A histogram whose range is exceeded has its neighbouring bins merged and its range doubled, so that one pass is
    enough and every count is exact.
    """

    def __init__(self, features: int) -> None:
        self.rows = 0
        self.active = torch.zeros(features, dtype=torch.int64)
        self.total = torch.zeros(features, dtype=torch.float64)
        self.top = torch.zeros(features)
        self.range = torch.zeros(features)
        self.counts = torch.zeros(features, BINS, dtype=torch.int64)

    def add(self, acts_NF: Tensor) -> None:
        """Count the activations of some rows."""
        if not len(acts_NF):
            return
        self.rows += len(acts_NF)
        self.active += (acts_NF > 0).sum(0)
        self.total += acts_NF.clamp_min(0).double().sum(0)
        highest = acts_NF.amax(0).clamp_min(0)
        self.top = torch.maximum(self.top, highest)
        self._widen(highest)
        rows, features = (acts_NF > 0).nonzero(as_tuple=True)
        place = (acts_NF[rows, features] / self.range[features] * BINS).long().clamp(max=BINS - 1)
        self.counts += torch.bincount(features * BINS + place, minlength=self.counts.numel()).reshape_as(
            self.counts
        )

    def _widen(self, highest_F: Tensor) -> None:
        self.range = torch.where(self.range == 0, highest_F, self.range)
        while bool((over := highest_F > self.range).any()):
            merged = self.counts[over].reshape(-1, BINS // 2, 2).sum(2)
            self.counts[over] = torch.cat([merged, torch.zeros_like(merged)], dim=1)
            self.range[over] *= 2

    @property
    def density(self) -> Tensor:
        """The share of rows in which each feature is active, `[F]`."""
        return self.active.double() / max(self.rows, 1)

    @property
    def mean(self) -> Tensor:
        """The mean activation over the rows in which each feature is active, `[F]`; 0 where there is none."""
        return self.total / self.active.clamp_min(1)

    def histogram(self, feature: int) -> Histogram:
        """Return a feature's histogram, without the empty bins above its largest activation."""
        top, limit = float(self.top[feature]), float(self.range[feature])
        if limit == 0:
            return Histogram((), 0.0)
        used = min(BINS, math.ceil(BINS * top / limit))
        return Histogram(tuple(self.counts[feature, :used].tolist()), limit * used / BINS)
