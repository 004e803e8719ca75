"""Heads of models that see pictures: how much a head looks near, along the row, along the column of its query.

Where a position lies comes from the layout of the lens. Positions that stand for no place, such as a class token, are
neither counted as queries nor as keys. (Raghu et al. 2021, "Do Vision Transformers See Like Convolutional Neural
Networks?", https://arxiv.org/abs/2108.08810, for local and global heads; Cordonnier et al. 2020, "On the Relationship
between Self-Attention and Convolutional Layers", https://arxiv.org/abs/1911.03584, for rows and columns.)
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from anylens.analysis.patterns import Score, mass_on
from anylens.core.errors import AxisError
from anylens.lens import Lens

Cells = Float[Tensor, "pos 2"]


def cells_of(lens: Lens, point: str, positions: int) -> Cells:
    """Return the row and column that each position of a point has in the picture; NaN where it has none.

    >>> lens = anylens.load("zoo:shapes-vit")
    >>> cells_of(lens, "blocks.0.attn.hook_pattern", 65)[[0, 1, 2, 9]].tolist()
    [[nan, nan], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]

    Raises AxisError where the lens has no layout, or none that places positions in a picture.
    """
    layout = lens.layout
    boxes = [layout.of(point).where((n,), (positions,)).box for n in range(positions)] if layout else []
    if not any(boxes):
        raise AxisError(f"Nothing says where in a picture the positions of {point} lie.")
    rows = [
        (math.nan, math.nan) if box is None else (box[0] / (box[2] - box[0]), box[1] / (box[3] - box[1]))
        for box in boxes
    ]
    return torch.tensor(rows).round()


def local(cells: Cells, radius: float = 1.0) -> Score:
    """Score how much goes to the cells around the query's own, itself left out: up to `radius` rows and columns away.

    (Raghu et al. 2021, https://arxiv.org/abs/2108.08810.)

    >>> cells = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 5.0]])
    >>> local(cells)(torch.tensor([[[[0.0, 1, 0], [0, 0, 1], [0.5, 0.5, 0]]]])).item()
    0.5
    """
    apart = (cells[:, None] - cells[None]).abs().amax(-1)
    return mass_on((apart <= radius) & (apart > 0))


def row(cells: Cells) -> Score:
    """Score how much goes to other cells of the query's row. (Cordonnier et al. 2020, https://arxiv.org/abs/1911.03584.)

    >>> cells = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> row(cells)(torch.full((1, 1, 4, 4), 0.25)).item()
    0.25
    """
    return _along(cells, 0)


def column(cells: Cells) -> Score:
    """Score how much goes to other cells of the query's column.

    (Cordonnier et al. 2020, https://arxiv.org/abs/1911.03584.)

    >>> cells = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> column(cells)(torch.eye(4).roll(2, 1).reshape(1, 1, 4, 4)).item()
    1.0
    """
    return _along(cells, 1)


def _along(cells: Cells, axis: int) -> Score:
    same = cells[:, None] == cells[None]
    return mass_on(same[..., axis] & ~same[..., 1 - axis] & ~cells.isnan().any(-1))
