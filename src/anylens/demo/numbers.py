"""Every number of a demo as plain data for JSON."""

from dataclasses import asdict
from typing import Any

from anylens.demo.story import Story


def as_numbers(story: Story) -> dict[str, Any]:
    """Return what was measured."""
    recipe, fit = story.modality.recipe, story.quality
    return {
        "model": f"zoo:{recipe.model}",
        "point": recipe.point,
        "autoencoder": {
            "features": story.trained.sae.d_sae,
            "fvu": fit.fvu,
            "l0": fit.l0,
            "dead": fit.dead,
            "curve": story.trained.curve,
        },
        "found": [asdict(one) | {"value": story.value(one)} for one in story.found],
        "steered": [asdict(one) | {"value": story.value(one)} for one in story.steered],
        "shown": {"feature": story.pushed.feature, "value": story.value(story.pushed), "random": story.other},
        **(story.further.numbers if story.further else {}),
    }
