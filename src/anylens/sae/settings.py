"""How an autoencoder is trained, as one value."""

from dataclasses import dataclass


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

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        done = step / self.steps
        rising = min(1.0, (done + 1 / self.steps) / self.warm_up) if self.warm_up else 1.0
        falling = min(1.0, (1 - done) / self.decay) if self.decay else 1.0
        return self.lr * rising * falling
