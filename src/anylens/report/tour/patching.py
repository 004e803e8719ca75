"""Where the colour sits in each layer, and when it reaches the class token: activation patching."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from anylens.analysis.grid import Grid
from anylens.analysis.metrics import logit_difference
from anylens.analysis.patching import patching_sweep
from anylens.analysis.sweeping.cells import Over
from anylens.lens import Lens
from anylens.report.tour.material import Material, Pictures

GROUPS = ("class token", "object patches", "background patches")


@dataclass(frozen=True)
class Patching:
    """What patching recovers.

    grid: for the pair that is shown, every position alone. covered: its patches with any of the object. groups: for
    all pairs, the class token, all patches of the object together, and all patches of the background together.
    """

    grid: Grid
    covered: Bool[Tensor, "patch"]
    groups: Float[Tensor, "pair point group"]

    @property
    def means(self) -> Float[Tensor, "point group"]:
        """The mean over the pairs."""
        return self.groups.mean(0)

    @property
    def moved(self) -> int | None:
        """The first point at which the class token alone recovers more than half."""
        held = (self.means[:, 0] > 0.5).nonzero()
        return int(held[0]) if len(held) else None


def stream_of(lens: Lens) -> list[str]:
    """Return the points along the residual stream: what enters each block, and what leaves the last."""
    points = [point.name for point in lens.points.find("blocks.*.hook_resid_pre")]
    return [*points, points[-1].replace("_pre", "_post")]


def patch(lens: Lens, material: Material, tick: Callable[[int, int], None]) -> Patching:
    """Measure what patching recovers; `tick` is told how many pairs are done, of how many."""
    points = stream_of(lens)
    grid = _grid(lens, material, 0, points=points, over="pos")
    groups = []
    for pair, places in enumerate(_places(material.clean, grid.values.shape[-1] - 1)):
        groups.append(_grid(lens, material, pair, points=points, over={"pos": places}).recovered[0])
        tick(pair + 1, len(material.clean))
    covered = material.clean.covered(grid.values.shape[-1] - 1)[0]
    return Patching(grid, covered, torch.stack(groups))


def _grid(lens: Lens, material: Material, pair: int, *, points: list[str], over: Over) -> Grid:
    clean, corrupted = (side[pair : pair + 1] for side in (material.clean, material.corrupted))
    return patching_sweep(
        lens,
        {"pixel_values": corrupted.inputs},
        source={"pixel_values": clean.inputs},
        points=points,
        metric=logit_difference(clean.answers, corrupted.answers),
        over=over,
    )


def _places(pictures: Pictures, patches: int) -> Iterator[list[list[int]]]:
    """Yield each picture's positions in three groups: the class token, the object's patches, the background's."""
    for covered in pictures.covered(patches):
        object_, background = (mask.nonzero().flatten() + 1 for mask in (covered, ~covered))
        yield [[0], object_.tolist(), background.tolist()]
