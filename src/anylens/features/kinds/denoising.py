"""Pictures made step by step: marked in cells, with how strongly at each step below."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from anylens.core.markup import Html, tag
from anylens.features.kinds.kind import Address, Behind, Kind, Mark, Scene, View, strongest
from anylens.features.kinds.made import pictures_in
from anylens.features.kinds.picture import FILE, as_media, marked_picture
from anylens.pipelines import is_pipeline


@dataclass(frozen=True)
class Denoising(Kind):
    """What a pipeline draws, with how strongly a feature fires at each step on the way."""

    needs_output: ClassVar[bool] = True

    @classmethod
    def of(cls, scene: Scene) -> Self | None:
        """Fit pipelines that can be asked for a number of steps."""
        return cls() if is_pipeline(scene.lens.model) and hasattr(scene.lens.model, "scheduler") else None

    def view(self, given: Mapping[str, Any], output: Any, row: int, behind: Behind) -> View:
        """Return the picture that was drawn."""
        found = pictures_in(output)
        return View({} if found is None else {FILE: as_media(found[row])})

    def html(self, view: View, marks: Sequence[Mark], address: Address) -> Html:
        """Return the picture marked as at the strongest step, and how strong the strongest cell is at each step."""
        best = strongest(marks)
        step = best.step if best else 0
        steps = max((mark.step for mark in marks), default=0) + 1
        levels = [max((mark.value for mark in marks if mark.step == n), default=0.0) for n in range(steps)]
        picture = marked_picture(address(FILE), marks, step=step)
        return tag("div", picture, curve(levels, step), class_="al-denoising")


def curve(levels: Sequence[float], at: int) -> Html:
    """Return bars for levels 0..1, one a step, of which one is the step that is shown."""
    bars = [
        tag(
            "rect",
            class_="al-step al-at" if n == at else "al-step",
            x=n,
            y=0,
            width=0.86,
            height=1,
            data_step=n,
            style=f"--v:{level:.3f}" if level > 0 else None,
        )
        for n, level in enumerate(levels)
    ]
    plot = tag(
        "svg",
        *bars,
        viewBox=f"0 0 {len(levels)} 1",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"activation over {len(levels)} steps",
    )
    return tag("figure", plot, tag("figcaption", f"step {at} of {len(levels)}"), class_="al-curve")
