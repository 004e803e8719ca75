"""Where in the input a position lies."""

import pytest
import torch

import anylens
from anylens.core.errors import AxisError
from anylens.families import Cells, Patches, Tokens
from tests.models import MODELS


def test_patches_follow_their_prefix():
    layout = Patches((4, 4), (3, 5), ("class",))
    assert layout.where((0,), (16,)).label == "class token"
    assert layout.where((0,), (16,)).box is None
    first, last = layout.where((1,), (16,)), layout.where((15,), (16,))
    assert first.box == (0, 0, 1 / 3, 1 / 5)
    assert last.label == "patch (2, 4)"
    assert last.box == (2 / 3, 4 / 5, 1, 1)


def test_merged_patches_cover_more():
    layout = Patches((2, 2), (8, 8))
    assert layout.where((5,), (64,)).box == (0, 5 / 8, 1 / 8, 6 / 8)
    assert layout.where((5,), (16,)).box == (1 / 4, 1 / 4, 2 / 4, 2 / 4)


@pytest.mark.parametrize("patches", [0, 63, 15, 8])
def test_a_number_that_no_grid_has_is_refused(patches):
    with pytest.raises(AxisError, match="8 by 8"):
        Patches((2, 2), (8, 8)).grid_of(patches)


def test_cells_cover_the_picture():
    boxes = [Cells().where((row, column), (2, 3)).box for row in range(2) for column in range(3)]
    assert sum((bottom - top) * (right - left) for top, left, bottom, right in boxes) == pytest.approx(1)
    assert boxes[5] == (1 / 2, 2 / 3, 1, 1)


def test_positions_outside_are_refused():
    with pytest.raises(AxisError, match="does not lie within"):
        Tokens().where((7,), (7,))
    with pytest.raises(AxisError, match="of 2 axes"):
        Cells().where((1,), (7,))


@pytest.mark.parametrize("name", ["vit", "dinov2", "clip_vision", "swin", "beit"])
def test_the_layout_of_a_model_fits_its_stream(name):
    lens = anylens.attach(MODELS[name]()[0])
    layout = lens.layout
    for point in lens.points.find("*hook_resid_post"):
        extent = tuple(
            s for axis, s in zip(point.axes, point.shape, strict=True) if axis not in ("batch", "d_model")
        )
        assert layout.where(tuple(size - 1 for size in extent), extent).box[2:] == (1, 1)


def test_the_box_of_a_patch_is_where_its_pixels_are():
    """A change of the pixels in the box of a position changes what is embedded there, and nowhere else."""
    lens = anylens.attach(MODELS["vit"]()[0])
    pixels = lens.family.example_of(lens.model)["pixel_values"]
    top, left, bottom, right = (round(16 * edge) for edge in lens.layout.where((7,), (17,)).box)
    changed = pixels.clone()
    changed[..., top:bottom, left:right] += 1
    before, after = (
        lens.run_with_cache(pixel_values=x, points="blocks.0.hook_resid_pre")[1]["blocks.0.hook_resid_pre"]
        for x in (pixels, changed)
    )
    moved = (before != after).any(-1).any(0)
    assert torch.equal(moved.nonzero().flatten(), torch.tensor([7]))


def test_a_model_that_nobody_knows_has_no_layout():
    assert anylens.attach(*MODELS["perceptron"]()).layout is None
