"""How an autoencoder is trained, as one value."""

import math
from dataclasses import dataclass

from anylens.core.errors import SaeError


@dataclass(frozen=True)
class Settings:
    """How an autoencoder is trained.

    Attributes:
        steps: batches that are gone through.
        lr: the learning rate, after a warm-up over `warm_up` of the steps; it falls to zero over the last `decay`.
        betas: of Adam.
        dead_after: a latent that has not fired for so many rows is dead, and revived by the variants that do that.
        clip: the largest norm of all gradients together.
        log_every, save_every: steps.

    Raises SaeError for numbers that no training has.
    """

    steps: int = 2000
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    warm_up: float = 0.05
    decay: float = 0.2
    dead_after: int = 200_000
    clip: float = 1.0
    log_every: int = 50
    save_every: int = 500

    def __post_init__(self) -> None:
        for name in ("steps", "dead_after", "log_every", "save_every"):
            if getattr(self, name) < 1:
                raise SaeError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("lr", "clip"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise SaeError(f"{name} is {value}; it must be a number above 0.")
        for name in ("warm_up", "decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise SaeError(f"{name} is {getattr(self, name)}; it is a share of the steps, from 0 to 1.")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        done = step / self.steps
        rising = min(1.0, (done + 1 / self.steps) / self.warm_up) if self.warm_up else 1.0
        falling = min(1.0, (1 - done) / self.decay) if self.decay else 1.0
        return self.lr * rising * falling
