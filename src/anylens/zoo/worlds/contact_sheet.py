"""A sheet of pictures for a person to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from anylens.core.errors import ZooError
from anylens.zoo.worlds.shapes import ShapesBatch

if TYPE_CHECKING:
    from PIL.Image import Image


def contact_sheet(batch: ShapesBatch, *, columns: int = 8, zoom: int = 3, gap: int = 1) -> Image:
    """The batch's pictures in rows, each enlarged `zoom` times without smoothing, `gap` white pixels between them.

    Pictures go row by row in the batch's order; the places left over in the last row stay white.
    """
    from PIL import Image

    if not batch.scenes:
        raise ZooError("the batch holds no pictures; a contact sheet needs at least one")
    pixels = torch.nn.functional.pad(batch.pixels, (gap, gap, gap, gap), value=1.0)
    count, channels, height, width = pixels.shape
    rows = -(-count // columns)
    sheet = torch.ones(rows * columns, channels, height, width)
    sheet[:count] = pixels
    sheet = sheet.reshape(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    values = (sheet.reshape(rows * height, columns * width, channels) * 255).round().to(torch.uint8)
    picture = Image.fromarray(values.numpy())
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)
