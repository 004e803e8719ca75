"""What an autoencoder of a zoo model is made of, and how it is judged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One autoencoder of a model's point.

    Attributes:
        model, point: whose rows.
        task: which of `anylens.tasks.TASKS` feeds the model, labels rows and judges outputs.
        positions: which positions become rows, as for `anylens.harvest`.
        variant, width, settings: of the autoencoder, as for `anylens.sae.make`.
        samples: of the world that rows are harvested from.
        batch, steps, lr, seed: of the training.
        pooled: whether a sample is scored by the largest activation over its positions, and not position by position:
            for factors of the whole sample, which no single position need show.
        factors: those that features are sought for. Others of the world are not in these rows.
        steered: those that outputs are steered in.
        at: the positions that are steered, by axis.
        held_out: samples that it is measured on.
        trials: samples that are steered, to choose features on and to count on.
        strengths: tried, in multiples of a feature's own large activations (their 95th percentile).
        note: what fell short, and what was tried.
    """

    model: str
    point: str
    task: str
    positions: Any = "all"
    variant: str = "matryoshka"
    width: int
    settings: Mapping[str, Any]
    samples: int
    batch: int = 1024
    steps: int = 1500
    lr: float = 5e-3
    seed: int = 0
    pooled: bool = True
    factors: tuple[str, ...]
    steered: tuple[str, ...]
    at: Mapping[str, Any] = field(default_factory=dict)
    held_out: int = 768
    trials: tuple[int, int] = (32, 96)
    strengths: tuple[float, ...] = (1, 1.5, 2, 3, 6)
    note: str = ""

    @property
    def name(self) -> str:
        """As `load_sae` takes it, without `zoo:`."""
        return f"{self.model}/{self.point}"
