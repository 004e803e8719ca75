"""The engine: from a modality's data to its story. It knows no modality."""

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from anylens.demo import words
from anylens.demo.modality import Modality
from anylens.demo.shown.shown import Shown
from anylens.demo.story import Further, Story, Trained, Trial
from anylens.features import Survey, survey
from anylens.features.kinds import Behind
from anylens.features.survey import Wanted, behind
from anylens.harvest.job import samples_of
from anylens.lens import Lens
from anylens.running.regions import Region
from anylens.sae.base import Sae
from anylens.sae.logs import LOG
from anylens.sae.metrics import quality
from anylens.sae.truth import find_factors
from anylens.tasks.making import made, opened
from anylens.tasks.recipe import Recipe
from anylens.tasks.scoring import scored
from anylens.tasks.steering import COUNT, Steering, Success
from anylens.tasks.task import Task

Say = Callable[[str, str], None]
Tick = Callable[[str, int, int], None]
HELD_OUT = 5  # seed of the samples that features are scored and shown on
STRONGEST = 6  # examples of a feature


@dataclass(frozen=True)
class Pushing:
    """A model that is run as it is, along a feature, and along a random one as strongly."""

    task: Task
    steering: Steering
    pushed: Success
    other: int

    def trials(self, look: Shown, given: Any, known: Behind, region: Region | None) -> list[Trial]:
        """Run one input all three ways, pushed in a region if there is one."""
        sides = [look.made(self.task, given)]
        for feature in (self.pushed.feature, self.other):
            with self.task.lens.hooks(self.steering.hooks(feature, self.pushed.strength, region)):
                sides.append(look.made(self.task, given))
        return [Trial(*one) for one in zip(look.given(self.task, given, known), *sides, strict=True)]


def tell(modality: Modality, *, say: Say, tick: Tick, opening: Callable[[Lens], None]) -> Story:
    """Do the whole job.

    Args:
        modality: what is to be done.
        say: is told a title and a result in words.
        tick: is told what is under way, how much is done, and of how much.
        opening: is given the lens when the model is attached.
    """
    began = time.monotonic()
    recipe = modality.recipe
    lens, task = opened(recipe)
    opening(lens)
    trained = train(recipe, lens, task)
    inputs = task.inputs(recipe.held_out, seed=HELD_OUT, split="held_out")
    scores = scored(recipe, lens, task, trained.sae, inputs)
    fit = quality(trained.sae, scores.parts)
    say("An autoencoder", words.training(modality, trained, fit))
    found = find_factors(scores.acts, scores.labels, scores.sample)
    say("What single features find", words.finding(modality, task, found))
    known = look(recipe, lens, task, trained.sae, inputs)
    steering = Steering(recipe, lens, task, trained.sae, scores)
    steered = steering.successes(recipe.trials, lambda done, of: tick("values steered towards", done, of))
    pushed = chosen(modality, task, steered)
    say("Steering", words.steering(modality, task, steered, pushed))
    other = steering.random(pushed.feature, pushed.value)[0]
    trials = shown(modality, Pushing(task, steering, pushed, other))
    further = more(modality, lens, say=say, tick=tick)
    return Story(
        modality, lens, task, trained, fit, found, known, steered, pushed, other, trials, further,
        time.monotonic() - began,
    )  # fmt: skip


def train(recipe: Recipe, lens: Lens, task: Task) -> Trained:
    """Harvest rows and train the autoencoder on them."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        sae = made(recipe, lens, task, logs=Path(folder))
        lines = (Path(folder) / LOG).read_text(encoding="utf-8").splitlines()
    curve = tuple((line["step"], line["fvu"]) for line in map(json.loads, lines))
    return Trained(sae, curve, time.monotonic() - began)


def look(recipe: Recipe, lens: Lens, task: Task, sae: Sae, inputs: Any) -> Survey:
    """Survey the features on inputs."""
    wanted = Wanted(strongest=STRONGEST, random=1, effects=0)
    return survey(
        lens,
        sae,
        inputs,
        point=recipe.point,
        positions=recipe.positions,
        wanted=wanted,
        steps=task.steps,
    )


def chosen(modality: Modality, task: Task, steered: list[Success]) -> Success:
    """Return what was steered towards the value that the modality shows."""
    factor, value = modality.towards
    return next(
        one for one in steered if one.factor == factor and task.values[factor].index(value) == one.value
    )


def shown(modality: Modality, pushing: Pushing) -> list[Trial]:
    """Run a few of the inputs that were counted, with and without a push: those that showed another value before."""
    found: list[Trial] = []
    task, pushed = pushing.task, pushing.pushed
    inputs = task.trials(modality.recipe.trials[1], seed=COUNT)
    for number in range(len(inputs)):
        whole = inputs[number]
        now = task.shown(whole)[pushed.factor]
        rows = (
            ((now >= 0) & (now != pushed.value))
            .nonzero()
            .flatten()[: modality.examples - len(found)]
            .tolist()
        )
        if rows:
            region = task.region(inputs, number, rows)
            found += pushing.trials(
                modality.shown,
                picked(whole, rows),
                known_of(inputs, number, rows),
                region,
            )
    return found


def known_of(inputs: Any, number: int, rows: list[int]) -> Behind:
    """Return what is behind some rows of an input."""
    known = behind(inputs, number)
    sound = known.sound[rows] if known.sound is not None else None
    names = tuple(known.names[row] for row in rows) if known.names else ()
    return replace(known, names=names, sound=sound)


def picked(given: dict[str, Any], rows: list[int]) -> dict[str, Any]:
    """Return some samples of an input."""
    whole = samples_of(((), given))

    def part(value: Any) -> Any:
        if isinstance(value, Tensor) and value.ndim and len(value) == whole:
            return value[rows]
        if isinstance(value, (list, tuple)) and len(value) == whole:
            return [value[row] for row in rows]
        return value

    return {name: part(value) for name, value in given.items()}


def more(modality: Modality, lens: Lens, *, say: Say, tick: Tick) -> Further | None:
    """Return the sections of the modality's own."""
    if modality.more is None:
        return None
    found: Further = import_module(modality.more).sections(lens, say=say, tick=tick)
    return found
