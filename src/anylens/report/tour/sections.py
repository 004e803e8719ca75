"""The tour as sections of a page: text, code, numbers and pictures."""

import base64
import io
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from anylens.core.markup import Html
from anylens.core.optional import require
from anylens.report.theme import THEMES, as_png, settings
from anylens.report.tour import words
from anylens.report.tour.alt import ALT
from anylens.report.tour.figures import FIGURES
from anylens.report.tour.findings import Findings, Tick
from anylens.report.tour.material import Material
from anylens.report.tour.tables import tables

Images = dict[str, dict[str, bytes]]
EXAMPLES = 6


def draw(found: Findings, material: Material, *, tick: Tick) -> Images:
    """Draw every figure for every theme: PNG by the figure's name and the theme's."""
    images: Images = {}
    for done, (name, figure) in enumerate(FIGURES.items()):
        for theme in THEMES:
            with settings(theme):
                images.setdefault(name, {})[theme.name] = as_png(figure(found, material, theme))
        tick("figures drawn", done + 1, len(FIGURES))
    return images


def write(found: Findings, material: Material, images: Images) -> Html:
    """Return the sections as HTML."""
    jinja = require("jinja2", extra="report")
    environment = jinja.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(data=data, percent=words.percent)
    text = (files("anylens.report.tour") / "sections.html").read_text(encoding="utf-8")
    return Html(
        environment.from_string(text).render(
            found=found,
            material=material,
            words=words,
            images=images,
            alt={name: text(found, material) for name, text in ALT.items()},
            tables=tables(found, material),
            gallery=_gallery(found, material),
            examples=_examples(found, material),
        )
    )


def data(png: bytes) -> str:
    """Return an image as an address that holds the image itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _gallery(found: Findings, material: Material) -> list[dict[str, Any]]:
    """Return the pictures that are shown, with the model's answers."""
    truths = [material.labels.names[label] for label in material.gallery.answers.tolist()]
    shown = zip(material.gallery.pixels, found.named, truths, strict=True)
    return [{"png": thumbnail(pixels), "named": named, "truth": truth} for pixels, named, truth in shown]


def _examples(found: Findings, material: Material) -> list[dict[str, Any]]:
    """Return the first pictures that were steered, with the answers before and after."""
    names = material.labels.names
    before, after = found.steering.before.tolist(), found.steering.after.tolist()
    shown = zip(material.steered.pixels, before, after, strict=True)
    return [{"png": thumbnail(p), "before": names[b], "after": names[a]} for p, b, a in shown][:EXAMPLES]


def thumbnail(pixels: Tensor, *, zoom: int = 4) -> bytes:
    """Return a picture, [channel, height, width], 0..1, enlarged without smoothing, as PNG."""
    image = require("PIL.Image", extra="plots")
    values = (pixels * 255).round().to(torch.uint8).permute(1, 2, 0)
    large = values.repeat_interleave(zoom, 0).repeat_interleave(zoom, 1)
    buffer = io.BytesIO()
    image.fromarray(large.numpy()).save(buffer, format="PNG")
    return buffer.getvalue()
