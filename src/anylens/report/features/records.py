"""What the page's scripts draw: samples once, and features as values on them."""

from typing import Any

from anylens.features import Example, Known, Sample, Survey
from anylens.features.kinds import Mark
from anylens.features.kinds.kind import said

FINE = 999  # of the steps that values are rounded to, from 0 to a feature's largest activation
THUMBS = 5  # examples of a feature in the index

Record = list[Any]


class Records:
    """The samples and features of a survey as JSON, samples under numbers from 0 on."""

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self.samples = [survey.samples[number] for number in sorted(survey.samples)]
        self.place = {sample.number: place for place, sample in enumerate(self.samples)}

    def media_name(self, sample: Sample, name: str) -> str:
        """Return where the page finds a sample's picture or sound; nothing where it has none."""
        media = sample.view.media.get(name)
        return f"media/{self.place[sample.number]}-{name}{media.suffix}" if media else ""

    def sample(self, sample: Sample) -> dict[str, Any]:
        """Return a sample: how it looks with each of its rows to be marked, what they are called, and their steps."""
        steps = sample.where[:, 0].tolist()
        marks = [
            Mark(row, place, step=step)
            for row, (place, step) in enumerate(zip(sample.places, steps, strict=True))
        ]
        html = self.survey.kind.html(sample.view, marks, lambda name: self.media_name(sample, name))
        spans = [place.seconds for place in sample.places]
        return {
            "name": sample.name,
            "html": html,
            "labels": [said(place) for place in sample.places],
            **({"steps": steps} if any(steps) else {}),
            **({"spans": spans} if any(spans) else {}),
        }

    def example(self, known: Known, example: Example) -> Record:
        """Return an example: its sample, its row, its strength, and active rows, each followed by its value.

        Values are whole numbers, of which `FINE` is the feature's largest activation.
        """
        values = (example.acts / max(known.top, 1e-12) * FINE).round().clamp(max=FINE).int()
        rows = values.nonzero().flatten()
        pairs = [number for pair in zip(rows.tolist(), values[rows].tolist(), strict=True) for number in pair]
        return [self.place[example.sample.number], example.row, float(f"{example.strength:.3g}"), pairs]

    def thumbs(self, known: Known) -> dict[str, Any]:
        """Return what the index shows of a feature."""
        return {"top": known.top, "strongest": [self.example(known, one) for one in known.strongest[:THUMBS]]}

    def feature(self, known: Known) -> dict[str, Any]:
        """Return the examples of a feature; the rest of its page is HTML."""
        return {
            "top": known.top,
            "strongest": [self.example(known, one) for one in known.strongest],
            "random": [self.example(known, one) for one in known.random],
        }
