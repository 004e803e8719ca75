import base64
import io

import pytest
from PIL import Image

from anylens.report.tour.figures import FIGURES
from anylens.report.tour.sections import draw, thumbnail, write
from tests.report.html_page import Page


@pytest.fixture(scope="module")
def page(tour):
    _, material, found, _ = tour
    images = draw(found, material, tick=lambda *_: None)
    return Page(write(found, material, images)), images


def test_every_figure_is_drawn_for_light_and_dark(page):
    _, images = page
    assert images.keys() == FIGURES.keys()
    for name, by_theme in images.items():
        light, dark = (Image.open(io.BytesIO(by_theme[theme])).convert("L") for theme in ("light", "dark"))
        assert light.size == dark.size, name
        assert light.getpixel((0, 0)) > 200, name
        assert dark.getpixel((0, 0)) < 60, name


def test_every_figure_is_on_the_page_with_words_for_it(page):
    html, images = page
    for by_theme in images.values():
        for png in by_theme.values():
            assert f"data:image/png;base64,{base64.b64encode(png).decode()}" in html.images
    assert all(alt and len(alt) > 10 for alt in html.alts)


def test_tables_hold_what_was_found(page, tour):
    html, _ = page
    _, _, found, _ = tour
    shares = found.looking.on_object
    assert [row[:-1] for row in html.numbers("attention")] == shares.tolist()
    assert html.numbers("patching") == found.patching.means.tolist()
    steered = found.steering.by_layer["own"]
    assert [row[:2] for row in html.numbers("steering")] == [[r.target, r.shape] for r in steered]
    assert len(html.numbers("ablation")) == shares.numel()


def test_text_from_outside_is_escaped(tour):
    import dataclasses

    _, material, found, _ = tour
    sly = dataclasses.replace(material, model="<script>alert(1)</script>")
    images = {name: {"light": b"", "dark": b""} for name in FIGURES}
    assert "script" not in Page(write(found, sly, images)).tags


def test_a_thumbnail_has_the_pixels_of_the_picture(tour):
    _, material, *_ = tour
    image = Image.open(io.BytesIO(thumbnail(material.test.pixels[0], zoom=2)))
    assert image.size == (64, 64)
    expected = (material.test.pixels[0, :, 5, 9] * 255).round().int().tolist()
    assert list(image.getpixel((18, 10))) == expected == list(image.getpixel((19, 11)))
