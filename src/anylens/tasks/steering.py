"""How often one feature makes outputs show another value: chosen on some samples, counted on others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anylens.lens import Lens
from anylens.running.interventions import Intervention
from anylens.running.regions import Region
from anylens.sae.base import Sae
from anylens.sae.steering import steer
from anylens.sae.truth import auroc, steered
from anylens.tasks.recipe import Recipe
from anylens.tasks.scoring import Scored
from anylens.tasks.task import Factors, Task

CANDIDATES, RANDOM = 2, 2  # features that are tried for a value; features that are the control
CHOICE, COUNT = 3, 4  # seeds of the samples to choose on and to count on
ENOUGH = (
    0.85  # of the samples to choose on; of what changes as many, that is taken which leaves most as it was
)


@dataclass(frozen=True)
class Success:
    """What steering towards one value did.

    Attributes:
        factor, value: what was steered towards.
        feature, strength: chosen on other samples; the strength is in multiples of the feature's large activations.
        changed, kept: as `anylens.sae.truth.Steered` has them.
        control: the share changed to this value by random active features of the same strength.
    """

    factor: str
    value: int
    feature: int
    strength: float
    changed: float
    kept: float
    control: float


class Steering:
    """A model whose outputs are steered, and judged."""

    def __init__(self, recipe: Recipe, lens: Lens, task: Task, sae: Sae, scores: Scored) -> None:
        """Take features and their large activations from rows whose truth is known; not those that are counted."""
        self.recipe, self.lens, self.task, self.sae, self.scores = recipe, lens, task, sae, scores
        self.large = _large(scores.acts)

    def successes(
        self, samples: tuple[int, int], tick: Callable[[int, int], None] = lambda done, of: None
    ) -> list[Success]:
        """Return for every value of the steered factors what its best feature did; `tick` is told how many are done."""
        choice = self.task.trials(samples[0], seed=CHOICE)
        count = self.task.trials(samples[1], seed=COUNT)
        plain = self._shown(choice), self._shown(count)
        wanted = [
            (factor, value)
            for factor in self.recipe.steered
            for value in self.scores.labels[factor].unique().tolist()
            if value >= 0
        ]
        found = []
        for factor, value in wanted:
            found.append(self._success(factor, value, (choice, count), plain))
            tick(len(found), len(wanted))
        return found

    def hooks(self, feature: int, strength: float, region: Region | None = None) -> dict[str, Intervention]:
        """Return what pushes the model along a feature, in multiples of the feature's large activations."""
        push = steer(self.sae.feature(feature), strength * float(self.large[feature])).on(**self.recipe.at)
        if region is not None:
            push = push.within(region.mask, *region.axes)
        return {self.recipe.point: push}

    def _success(
        self, factor: str, value: int, trials: tuple[Any, Any], plain: tuple[Factors, Factors]
    ) -> Success:
        feature, strength = self._chosen(factor, value, trials[0], plain[0])
        done = steered(plain[1], self._shown(trials[1], feature, strength), factor, value)
        control = [
            steered(plain[1], self._shown(trials[1], other, strength), factor, value).changed
            for other in self.random(feature, value)
        ]
        return Success(factor, value, feature, strength, done.changed, done.kept, sum(control) / len(control))

    def _chosen(self, factor: str, value: int, trials: Any, plain: Factors) -> tuple[int, float]:
        """Return the feature and the strength that leave most as it was, of those that change enough; if none does,
        those that change most.
        """
        tried = {
            (feature, strength): steered(plain, self._shown(trials, feature, strength), factor, value)
            for feature in self._candidates(factor, value)
            for strength in self.recipe.strengths
        }
        enough = [one for one, done in tried.items() if done.changed >= ENOUGH]
        if enough:
            return max(enough, key=lambda one: tried[one].kept)
        return max(tried, key=lambda one: tried[one].changed)

    def _shown(self, trials: Sequence[Any], feature: int | None = None, strength: float = 0.0) -> Factors:
        """Run the model on trials, steered along a feature if there is one, and return what its outputs show."""
        parts = []
        for number in range(len(trials)):
            region = self.task.region(trials, number)
            with self.lens.hooks({} if feature is None else self.hooks(feature, strength, region)):
                parts.append(self.task.shown(trials[number]))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _candidates(self, factor: str, value: int) -> list[int]:
        label = self.scores.labels[factor]
        known = label >= 0
        found = auroc(self.scores.acts[known], label[known] == value)
        return found.nan_to_num(0).topk(CANDIDATES).indices.tolist()

    def random(self, but: int, seed: int) -> list[int]:
        """Return features that are active somewhere, other than one."""
        active = (self.large > 0).nonzero().flatten()
        active = active[active != but]
        order = torch.randperm(len(active), generator=torch.Generator().manual_seed(seed))
        return active[order[:RANDOM]].tolist()


def _large(acts: Tensor) -> Tensor:
    """Return the 95th percentile of each feature's activations where it is active, 0 where it never is: `[F]`."""
    found = torch.zeros(acts.shape[1])
    for feature, column in enumerate(acts.T):
        active = column[column > 0]
        if len(active):
            found[feature] = active.quantile(0.95)
    return found
