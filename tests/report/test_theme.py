import pytest

from anylens.report.theme import DARK, LIGHT, as_png, figure, settings


def luminance(colour):
    """Relative luminance, as WCAG 2 defines it: https://www.w3.org/TR/WCAG21/#dfn-relative-luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_text_and_lines_can_be_read(theme):
    assert contrast(theme.ink, theme.page) > 7
    assert contrast(theme.muted, theme.page) > 4.5
    assert all(contrast(line, theme.page) > 3 for line in theme.lines)


def test_a_theme_is_left_behind():
    matplotlib = pytest.importorskip("matplotlib")
    before = matplotlib.rcParams["text.color"]
    with settings(DARK):
        png = as_png(figure(1, 1), dots=20)
    assert png.startswith(b"\x89PNG")
    assert matplotlib.rcParams["text.color"] == before
