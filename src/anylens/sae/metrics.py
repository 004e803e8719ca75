"""How good an autoencoder is: how sparse, how faithful, what the model loses by it, and how stable its features are."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anylens.core.errors import SaeError
from anylens.lens import Lens
from anylens.running.actions import Hooks
from anylens.running.examples import as_arguments
from anylens.running.interventions import ablate
from anylens.sae.base import Sae
from anylens.store.rows import Rows

DENSE = 0.1  # a latent that is active in more rows than this share is dense
Measure = Callable[[Any, Any], Tensor | float]


@dataclass(frozen=True)
class Quality:
    """What an autoencoder does with rows.

    Attributes:
        rows: how many there were.
        l0: active latents of a row, on average.
        fvu: the squared error over the rows' variance around their mean: 0 is perfect, 1 no better than the mean.
        density: `[F]`, the share of rows in which each latent is active.
    """

    rows: int
    l0: float
    fvu: float
    density: Tensor

    @property
    def explained_variance(self) -> float:
        """The share of the rows' variance that the reconstruction has."""
        return 1 - self.fvu

    @property
    def dead(self) -> int:
        """How many latents are active in no row."""
        return int((self.density == 0).sum())

    @property
    def dense(self) -> int:
        """How many latents are active in more than a tenth of the rows."""
        return int((self.density > DENSE).sum())

    def __str__(self) -> str:
        return (
            f"L0 {self.l0:.1f}, FVU {self.fvu:.3f}, {self.dead} of {len(self.density)} latents dead, "
            f"{self.dense} dense, over {self.rows:,} rows"
        )


@torch.no_grad()
def quality(sae: Sae, batches: Iterable[Rows]) -> Quality:
    """Measure an autoencoder on rows, which should not be those it was trained on.

    Raises SaeError if there are no rows.
    """
    count, active = 0, torch.zeros(sae.d_sae, dtype=torch.float64)
    error = squares = 0.0
    total = torch.zeros(sae.d_in, dtype=torch.float64)
    for batch in batches:
        x_BD = batch.values.to(sae.encoder.device, sae.encoder.dtype)
        acts_BF = sae.encode(x_BD)
        active += (acts_BF > 0).sum(0).double().cpu()
        error += float((sae.decode(acts_BF) - x_BD).double().pow(2).sum())
        wide = x_BD.double().cpu()
        squares, total, count = squares + float(wide.pow(2).sum()), total + wide.sum(0), count + len(x_BD)
    if not count:
        raise SaeError("There are no rows to measure the autoencoder on.")
    spread = squares - float(total.pow(2).sum()) / count
    return Quality(count, float(active.sum()) / count, error / max(spread, 1e-12), (active / count).float())


@dataclass(frozen=True)
class Recovery:
    """A loss of the model by itself, with the reconstruction in place of a point's value, and with zeros there."""

    clean: float
    spliced: float
    ablated: float

    @property
    def share(self) -> float:
        """How much of what the point does for the loss the reconstruction keeps: 1 is all."""
        lost = self.ablated - self.clean
        return (self.ablated - self.spliced) / lost if lost else float("nan")


@torch.no_grad()
def recovered(
    lens: Lens, point: str, sae: Sae, data: Iterable[Any], measure: Measure, *, method: Any = None
) -> Recovery:
    """Measure what the model loses when an autoencoder's reconstruction takes a point's place.

    Args:
        lens: the lens.
        point: the point that the autoencoder was trained on.
        sae: the autoencoder.
        data: inputs, each a batch as the model takes it.
        measure: from the model's output and the input to a loss, or to any number, meaned over inputs.
        method: what is called in place of the model.
    """
    spliced = lens.splice({point: sae}, error=False)
    sums, count = [0.0, 0.0, 0.0], 0
    for one in data:
        args, kwargs = as_arguments(one)
        runs: tuple[tuple[Lens, Hooks], ...] = ((lens, {}), (spliced, {}), (lens, {point: ablate()}))
        for number, (which, hooks) in enumerate(runs):
            output = which.run_with_hooks(*args, hooks=hooks, method=method, **kwargs)
            sums[number] += float(measure(output, one))
        count += 1
    if not count:
        raise SaeError("There are no inputs to measure the loss on.")
    clean, with_it, without = (total / count for total in sums)
    return Recovery(clean, with_it, without)


@torch.no_grad()
def agreement(one: Sae, other: Sae) -> Tensor:
    """Return for each latent of one autoencoder the largest cosine with a decoder direction of another: `[F]`.

    The mean of these is the mean maximum cosine similarity of two seeds.
    Source: Sharkey et al. 2022, https://www.alignmentforum.org/posts/z6QQJbtpkEAX3Aojj
    Raises SaeError if they take rows of different widths.
    """
    if one.d_in != other.d_in:
        raise SaeError(f"The autoencoders take rows of {one.d_in} and of {other.d_in}.")
    return cosines(one, other).max(dim=1).values


def cosines(one: Sae, other: Sae) -> Tensor:
    """Return the cosines of decoder directions, `[F, F']`."""
    first, second = (sae.decoder / sae.decoder.norm(dim=1, keepdim=True) for sae in (one, other))
    found: Tensor = (first @ second.T).detach()
    return found


def neighbours(sae: Sae, feature: int, count: int = 5) -> list[tuple[int, float]]:
    """Return the features whose decoder directions are nearest to one's, with their cosines, the nearest first."""
    feature = sae.feature(feature).number
    found = cosines(sae, sae)[feature]
    found[feature] = -2
    values, numbers = found.topk(min(count, sae.d_sae - 1))
    return list(zip(numbers.tolist(), values.tolist(), strict=True))
