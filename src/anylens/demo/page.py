"""A demo's story as one page that needs nothing else: text, code, numbers, pictures and sounds in a single file."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from anylens.anatomy.show import rows, summary
from anylens.core import __version__
from anylens.core.optional import require
from anylens.demo import words
from anylens.demo.pieces import card, chosen_features, curve, finding_table, steering_table
from anylens.demo.script import sections
from anylens.demo.story import Story

FEATURES = 6  # that are shown on inputs
STYLES = (("anylens.features", "fragments.css"), ("anylens.demo", "page.css"))
SCRIPTS = (("anylens.report.features", "sounds.js"),)


def render(story: Story, script: str) -> str:
    """Return the page as HTML; `script` is the code that does the same."""
    jinja = require("jinja2", extra="report")
    environment = jinja.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files("anylens.demo") / "page.html").read_text(encoding="utf-8"))
    page: str = template.render(
        story=story,
        modality=story.modality,
        recipe=story.modality.recipe,
        said=story.modality.words,
        words=words,
        facts=facts(story),
        points=rows(story.lens.points.canonical.values()),
        summary=summary(story.lens.anatomy),
        curve=curve(story.trained.curve),
        finding=finding_table(story),
        cards=[card(story, one) for one in chosen_features(story.found, FEATURES)],
        steering=steering_table(story),
        value=story.value(story.pushed),
        code=sections(script)["features"],
        style=_read(STYLES),
        scripts=_read(SCRIPTS),
        version=__version__,
    )
    return page


def facts(story: Story) -> dict[str, Any]:
    """Return what the model is."""
    net = story.task.net
    inner = getattr(net, "components", None)
    parts = inner.values() if isinstance(inner, dict) else [net]
    sizes = [sum(p.numel() for p in part.parameters()) for part in parts if hasattr(part, "parameters")]
    return {"class": type(net).__name__, "parameters": sum(sizes), "points": len(story.lens.points)}


def _read(places: Sequence[tuple[str, str]]) -> str:
    return "\n".join((files(package) / name).read_text(encoding="utf-8") for package, name in places)
