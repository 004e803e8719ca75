"""The results in plain words, each with its number and its control; the page and the terminal say the same."""

from collections.abc import Sequence
from statistics import fmean

from anylens.demo.modality import Modality
from anylens.demo.story import Trained
from anylens.sae.metrics import Quality
from anylens.sae.truth import Found
from anylens.tasks.steering import Success
from anylens.tasks.task import Task

GOOD = 0.95  # an AUROC


def training(modality: Modality, trained: Trained, fit: Quality) -> str:
    """Say what was trained, and how well it rebuilds."""
    sae, recipe = trained.sae, modality.recipe
    return (
        f"{sae.d_sae} features were learned from {recipe.samples:,} {modality.words.samples} in "
        f"{trained.seconds:.0f} seconds. On held-out ones they explain {1 - fit.fvu:.0%} of the variance at the point, "
        f"with {fit.l0:.1f} features active at a time; {fit.dead} never active."
    )


def finding(modality: Modality, task: Task, found: Sequence[Found]) -> str:
    """Say how well single features find what is true."""
    good = [one for one in found if one.auroc >= GOOD]
    best = max(found, key=lambda one: one.auroc)
    control = max(one.control for one in found)
    return (
        f"For {len(good)} of {len(found)} values a single feature tells {modality.words.samples} with the value from "
        f"those without at an AUROC of {GOOD:g} or more (1 is always, 0.5 is chance). Feature {best.feature} finds "
        f"{best.factor} {task.values[best.factor][best.value]} at {best.auroc:.2f}. The same search with the labels "
        f"shuffled gets {control:.2f} at most."
    )


def steering(modality: Modality, task: Task, steered: Sequence[Success], pushed: Success) -> str:
    """Say what steering did."""
    value = task.values[pushed.factor][pushed.value]
    mean = fmean(one.changed for one in steered)
    return (
        f"Feature {pushed.feature} added {modality.words.pushed} turns {pushed.changed:.0%} of held-out "
        f"{modality.words.answers} to {value}; random features of the same strength turn {pushed.control:.0%}. Over "
        f"all {len(steered)} values the best features turn {mean:.0%}, leave {fmean(one.kept for one in steered):.0%} "
        f"of the other factors as they were, and random ones turn {fmean(one.control for one in steered):.0%}."
    )
