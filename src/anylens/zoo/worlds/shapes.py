"""The world of shapes: 32 x 32 pictures of one coloured object on a background, with every factor known.

A `Scene` holds everything that a picture is made from, so a counterfactual is a replaced field:

    scene = sample(1, seed=0).scenes[0]
    pair = draw([scene, dataclasses.replace(scene, colour="blue")])
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from anylens.core.errors import ZooError
from anylens.zoo.worlds.drawing import BACKGROUNDS, COLOURS, SHAPES, SIDE, SIZES, Array, ink
from anylens.zoo.worlds.sampling import ABSENT, SPLITS, generator

__all__ = ["FACTORS", "SPLITS", "Scene", "ShapesBatch", "draw", "masks", "sample"]

CELLS = (
    ("top left", "top", "top right"),
    ("left", "centre", "right"),
    ("bottom left", "bottom", "bottom right"),
)
"""Names of the 3 x 3 cells, by row and column of the object's centre."""

FACTORS: dict[str, tuple[str, ...]] = {
    "shape": tuple(SHAPES),
    "colour": tuple(COLOURS),
    "size": tuple(SIZES),
    "background": tuple(BACKGROUNDS),
    "cell": tuple(name for row in CELLS for name in row),
}
"""Each named factor's values, in the order of its numbers in `ShapesBatch.factors`."""

WORDINGS = (
    "a {size} {colour} {shape} on {background} at the {cell}",
    "at the {cell}, a {size} {colour} {shape} on {background}",
    "a {colour} {shape}, {size}, at the {cell}, on {background}",
    "{size} {colour} {shape}",
)
"""The forms of a caption."""

COLOUR_JITTER = 0.04
"""Largest change of each colour channel from the named colour."""

NOISE = 0.015
"""Standard deviation of the noise on every pixel and channel."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that one picture is made from.

    x, y: the object's centre, in pixels from the top left corner. tint: what is added to the named colour's red,
    green and blue. noise_seed: seeds the picture's noise. wording: which of `WORDINGS` its caption takes.
    """

    shape: str
    colour: str
    size: str
    background: str
    x: float
    y: float
    tint: tuple[float, float, float] = (0.0, 0.0, 0.0)
    noise_seed: int = 0
    wording: int = 0

    def __post_init__(self) -> None:
        for factor in ("shape", "colour", "size", "background"):
            value = getattr(self, factor)
            if value not in FACTORS[factor]:
                raise ZooError(f"no {factor} is called {value!r}; choose from {', '.join(FACTORS[factor])}")
        if not 0 <= self.wording < len(WORDINGS):
            raise ZooError(f"wording is {self.wording}; there are {len(WORDINGS)}, from 0")
        if not (0 <= self.x <= SIDE and 0 <= self.y <= SIDE):
            raise ZooError(f"the centre ({self.x}, {self.y}) lies outside the {SIDE} x {SIDE} picture")

    @property
    def cell(self) -> str:
        """The cell of the 3 x 3 grid that holds the object's centre."""
        row, column = (min(int(3 * place / SIDE), 2) for place in (self.y, self.x))
        return CELLS[row][column]

    @property
    def label(self) -> str:
        """Colour and shape, such as "red circle"."""
        return f"{self.colour} {self.shape}"

    @property
    def caption(self) -> str:
        """The scene in words."""
        background = {"gradient": "a gradient"}.get(self.background, self.background)
        return WORDINGS[self.wording].format(
            size=self.size, colour=self.colour, shape=self.shape, background=background, cell=self.cell
        )


@dataclass(frozen=True)
class ShapesBatch:
    """Pictures with their truth.

    scenes: n scenes. pixels: [n, 3, 32, 32], float32, 0..1.
    """

    scenes: tuple[Scene, ...]
    pixels: Tensor

    @classmethod
    def of(cls, scenes: Iterable[Scene]) -> ShapesBatch:
        """The batch of these scenes, drawn."""
        scenes = tuple(scenes)
        return cls(scenes, draw(scenes))

    @property
    def pixel_values(self) -> Tensor:
        """The pictures as the zoo's vision models take them: [n, 3, 32, 32], -1..1."""
        return self.pixels * 2 - 1

    @property
    def captions(self) -> list[str]:
        """One sentence for each picture."""
        return [scene.caption for scene in self.scenes]

    @property
    def factors(self) -> dict[str, Tensor]:
        """Each factor's value for every picture, [n], int64; `FACTORS` names the values."""
        return {
            factor: torch.tensor(
                [values.index(getattr(scene, factor)) for scene in self.scenes], dtype=torch.int64
            )
            for factor, values in FACTORS.items()
        }

    @property
    def centres(self) -> Tensor:
        """Where each object's centre is: [n, 2], x and y, in pixels from the top left corner."""
        return torch.tensor([(scene.x, scene.y) for scene in self.scenes]).reshape(-1, 2)

    def coverage(self, patch: int = 4) -> Tensor:
        """Fraction of each patch that the object covers; the background covers the rest.

        Returns [n, 32 / patch, 32 / patch], by row and column of patches.
        """
        if patch < 1 or SIDE % patch:
            raise ZooError(f"patch is {patch}; it must divide the picture's side, {SIDE}")
        return torch.nn.functional.avg_pool2d(masks(self.scenes), patch)

    def positions(self, *, patch: int = 4, least: float = 0.1) -> dict[str, Tensor]:
        """What each patch holds: [n, 32 / patch, 32 / patch], int64, by row and column of patches.

        `FACTORS` names the values. shape, colour and size are ABSENT where the object covers less than the fraction
        `least` of a patch; background is ABSENT where less than that is left of it.
        """
        covered = self.coverage(patch)
        return {
            factor: self.factors[factor][:, None, None]
            .expand(covered.shape)
            .masked_fill((1 - covered if factor == "background" else covered) < least, ABSENT)
            for factor in ("shape", "colour", "size", "background")
        }


def sample(n: int, *, seed: int, split: str = "train") -> ShapesBatch:
    """Draw n pictures whose factors are independent and uniform; the same arguments give the same pictures."""
    numbers = generator(n, seed=seed, split=split)
    return ShapesBatch.of(_random_scene(numbers) for _ in range(n))


def masks(scenes: Sequence[Scene]) -> Tensor:
    """Fraction of every pixel that the object covers: [n, 32, 32], 0..1."""
    return torch.from_numpy(_masks(scenes))


def draw(scenes: Sequence[Scene]) -> Tensor:
    """The scenes' pictures: [n, 3, 32, 32], float32, 0..1."""
    mask = _masks(scenes)[:, None]
    behind = np.array([BACKGROUNDS[scene.background] for scene in scenes], dtype=np.float32)
    behind = behind.reshape(-1, 1, SIDE, SIDE)
    colours = np.array([COLOURS[scene.colour] for scene in scenes], dtype=np.float32).reshape(-1, 3, 1, 1)
    tints = np.array([scene.tint for scene in scenes], dtype=np.float32).reshape(-1, 3, 1, 1)
    # two products, not one of a difference: where the mask is 1, the background leaves no rounding behind
    pictures = (1 - mask) * behind + mask * np.clip(colours + tints, 0, 1) + _noise(scenes)
    return torch.from_numpy(np.clip(pictures, 0, 1, dtype=np.float32))


def _random_scene(generator: np.random.Generator) -> Scene:
    values = {factor: names[generator.integers(len(names))] for factor, names in FACTORS.items()}
    cell = FACTORS["cell"].index(values.pop("cell"))
    radius = SIZES[values["size"]]
    return Scene(
        **values,
        x=_random_place(generator, third=cell % 3, radius=radius),
        y=_random_place(generator, third=cell // 3, radius=radius),
        tint=tuple(generator.uniform(-COLOUR_JITTER, COLOUR_JITTER, size=3).tolist()),
        noise_seed=int(generator.integers(2**31)),
        wording=int(generator.integers(len(WORDINGS))),
    )


def room(*, third: int, radius: float) -> tuple[float, float]:
    """The lowest and highest centre, in pixels, of an object within one third of the picture's side."""
    return max(third * SIDE / 3, radius), min((third + 1) * SIDE / 3, SIDE - radius)


def _random_place(generator: np.random.Generator, *, third: int, radius: float) -> float:
    """A centre within one third of the picture's side, from which an object of this radius stays in the picture."""
    low, high = room(third=third, radius=radius)
    return float(generator.uniform(low, math.nextafter(high, low)))


def _masks(scenes: Sequence[Scene]) -> Array:
    found = np.zeros((len(scenes), SIDE, SIDE), dtype=np.float32)
    for shape in SHAPES:
        for places in _chunks([index for index, scene in enumerate(scenes) if scene.shape == shape]):
            x, y = (np.array([getattr(scenes[i], axis) for i in places], dtype=np.float32) for axis in "xy")
            radius = np.array([SIZES[scenes[i].size] for i in places], dtype=np.float32)
            found[places] = ink(shape, x=x, y=y, radius=radius)
    return found


def _chunks(places: list[int]) -> Iterator[list[int]]:
    """Parts so small that the supersampled arrays of one part stay in the processor's cache."""
    for start in range(0, len(places), 16):
        yield places[start : start + 16]


def _noise(scenes: Sequence[Scene]) -> Array:
    """Each picture's noise, [n, 3, height, width]: a function of its own seed alone."""
    noise = np.empty((len(scenes), 3, SIDE, SIDE), dtype=np.float32)
    for place, scene in zip(noise, scenes, strict=True):
        np.random.default_rng(scene.noise_seed).standard_normal(out=place, dtype=np.float32)
    return noise * np.float32(NOISE)
