"""All that the tour finds, in order, and every number of it as plain data."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from anylens.lens import Lens
from anylens.report.tour import words
from anylens.report.tour.ablation import WORDS, Ablation, without_heads
from anylens.report.tour.looking import Looking, look
from anylens.report.tour.material import Material
from anylens.report.tour.patching import GROUPS, Patching, patch
from anylens.report.tour.steering import STRENGTHS, Steering, steer

Say = Callable[[str, str], None]
Tick = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Findings:
    """What was found. accuracy: of the model as it is, over the test pictures; named: its labels for the gallery."""

    accuracy: float
    named: tuple[str, ...]
    looking: Looking
    patching: Patching
    steering: Steering
    ablation: Ablation
    seconds: float


def study(lens: Lens, material: Material, *, say: Say, tick: Tick) -> Findings:
    """Do the tour's experiments; `say` is told a title and the result in words, `tick` how far the long ones are."""
    started = time.monotonic()
    accuracy, named = _predictions(lens, material)
    say("What it can do", words.predictions(material, accuracy))
    looking = look(lens, material)
    say("Where does it look?", words.looking(looking))
    patching = patch(lens, material, lambda done, of: tick("pairs patched", done, of))
    say("Where does the colour sit, and when does it move?", words.patching(patching))
    steering = steer(lens, material, lambda done, of: tick("edits tried", done, of))
    say("Can it be pushed to another colour?", words.steering(steering, material))
    ablation = without_heads(lens, material, lambda done, of: tick("heads ablated", done, of))
    say("Which heads matter?", words.ablation(ablation))
    return Findings(accuracy, named, looking, patching, steering, ablation, time.monotonic() - started)


@torch.no_grad()
def _predictions(lens: Lens, material: Material) -> tuple[float, tuple[str, ...]]:
    right = lens.model(pixel_values=material.test.inputs).logits.argmax(-1) == material.test.answers
    shown = lens.model(pixel_values=material.gallery.inputs).logits.argmax(-1)
    return right.float().mean().item(), tuple(material.labels.names[label] for label in shown.tolist())


def as_numbers(found: Findings) -> dict[str, Any]:
    """Return every number of the findings as plain data for JSON."""
    steering, ablation = found.steering, found.ablation
    return {
        "accuracy": found.accuracy,
        "attention": {
            "on_object": found.looking.on_object.tolist(),
            "chance": found.looking.chance,
        },
        "patching": {
            "points": list(found.patching.grid.coordinates["point"]),
            "recovered": found.patching.grid.recovered[0].tolist(),
            "groups": dict(zip(GROUPS, found.patching.means.T.tolist(), strict=True)),
            "pairs": len(found.patching.groups),
        },
        "steering": {
            "layer": steering.layer,
            "by_layer": {kind: [vars(r) for r in rates] for kind, rates in steering.by_layer.items()},
            "strengths": list(STRENGTHS),
            "by_strength": {kind: [vars(r) for r in rates] for kind, rates in steering.by_strength.items()},
        },
        "ablation": {
            "words": list(WORDS),
            "accuracy": ablation.accuracy.tolist(),
            "surprise": ablation.surprise.tolist(),
            "accuracy_without": ablation.accuracy_without.tolist(),
            "surprise_without": ablation.surprise_without.tolist(),
        },
    }
