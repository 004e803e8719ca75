"""How the shapes world puts ink on a picture: outlines, colours and backgrounds, by name.

Everything is drawn at `SUPERSAMPLING` times the resolution and averaged down, so edges are soft where they cross a
pixel. Arrays are float32; x runs to the right and y down, in pixels, with (0, 0) the picture's top left corner.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Inside = Callable[[Array, Array], NDArray[np.bool_]]

SIDE = 32
"""Width and height of a picture, in pixels."""

SUPERSAMPLING = 4
"""Points taken along each side of a pixel."""


def _circle(u: Array, v: Array) -> NDArray[np.bool_]:
    return u**2 + v**2 <= 1


def _square(u: Array, v: Array) -> NDArray[np.bool_]:
    return (abs(u) <= 0.88) & (abs(v) <= 0.88)


def _triangle(u: Array, v: Array) -> NDArray[np.bool_]:
    return (v <= 0.8) & (abs(u) <= (v + 1) * (1 / 1.8))


def _cross(u: Array, v: Array) -> NDArray[np.bool_]:
    return ((abs(u) <= 0.3) & (abs(v) <= 1)) | ((abs(v) <= 0.3) & (abs(u) <= 1))


def _ring(u: Array, v: Array) -> NDArray[np.bool_]:
    squared = u**2 + v**2
    return (squared <= 1) & (squared >= 0.55**2)


def _star(u: Array, v: Array) -> NDArray[np.bool_]:
    """Five kites around the centre, the first one's tip up; the notches lie at half the radius."""
    notch_along, notch_across = 0.5 * math.cos(math.pi / 5), 0.5 * math.sin(math.pi / 5)
    inside = np.zeros(np.broadcast_shapes(u.shape, v.shape), dtype=np.bool_)
    for angle in -math.pi / 2 + np.arange(5) * 2 * math.pi / 5:
        cosine, sine = math.cos(angle), math.sin(angle)
        along, across = cosine * u + sine * v, abs(cosine * v - sine * u)
        inside |= (across * (1 - notch_along) <= (1 - along) * notch_across) & (
            across <= along * math.tan(math.pi / 5)
        )
    return inside


SHAPES: dict[str, Inside] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "ring": _ring,
    "star": _star,
}
"""Whether (u, v) lies inside the outline, where the object's centre is (0, 0) and its radius 1."""

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.08, 0.10),
    "orange": (1.00, 0.52, 0.05),
    "yellow": (0.98, 0.92, 0.15),
    "green": (0.10, 0.75, 0.20),
    "cyan": (0.15, 0.85, 0.90),
    "blue": (0.12, 0.28, 0.98),
    "magenta": (0.90, 0.20, 0.82),
    "white": (0.97, 0.97, 0.97),
}
"""Red, green and blue, each 0..1."""

SIZES: dict[str, float] = {"small": 4.0, "medium": 6.0, "large": 8.5}
"""Radius in pixels: the distance from the centre to the outermost ink."""


def _flat(level: float) -> Array:
    return np.full((SIDE, SIDE), level, dtype=np.float32)


def _gradient() -> Array:
    """Dark at the top left corner, mid-grey at the bottom right."""
    ramp = np.arange(SIDE, dtype=np.float32) / (SIDE - 1)
    return (0.10 + 0.45 * (ramp[:, None] + ramp[None, :]) / 2).astype(np.float32)


def _stripes() -> Array:
    """Horizontal bands, four pixels dark and four less dark."""
    dark = (np.arange(SIDE) // 4) % 2 == 0
    return np.where(dark[:, None], np.float32(0.14), np.float32(0.34)).repeat(SIDE, axis=1)


BACKGROUNDS: dict[str, Array] = {
    "black": _flat(0.03),
    "grey": _flat(0.45),
    "gradient": _gradient(),
    "stripes": _stripes(),
}
"""Brightness of every pixel, [height, width], 0..1. All are without hue, so no object's colour meets its like."""


def ink(shape: str, *, x: Array, y: Array, radius: Array) -> Array:
    """Fraction of every pixel that the shape covers, for n objects of one shape.

    x, y, radius: [n], in pixels. Returns [n, height, width], 0..1.
    """
    fine = SIDE * SUPERSAMPLING
    points = ((np.arange(fine) + 0.5) / SUPERSAMPLING).astype(np.float32)
    u = (points[None, None, :] - x[:, None, None]) / radius[:, None, None]
    v = (points[None, :, None] - y[:, None, None]) / radius[:, None, None]
    inside = SHAPES[shape](u, v).view(np.uint8)
    rows = inside.reshape(len(x), SIDE, SUPERSAMPLING, fine).sum(axis=2, dtype=np.uint8)
    counts = rows.reshape(len(x), SIDE, SIDE, SUPERSAMPLING).sum(axis=3, dtype=np.uint8)
    covered: Array = counts.astype(np.float32) / np.float32(SUPERSAMPLING**2)
    return covered
