"""The world of shapes tells the truth about its pictures."""

import dataclasses
import itertools
import math

import pytest
import torch

from anylens.core.errors import ZooError
from anylens.zoo.worlds.drawing import BACKGROUNDS, COLOURS, SHAPES, SIZES
from anylens.zoo.worlds.sampling import ABSENT
from anylens.zoo.worlds.shapes import CELLS, FACTORS, NOISE, SPLITS, Scene, ShapesBatch, draw, masks, sample


def scene(**changes: object) -> Scene:
    values = {
        "shape": "circle",
        "colour": "red",
        "size": "medium",
        "background": "grey",
        "x": 16.0,
        "y": 16.0,
    }
    return Scene(**(values | changes))


def test_the_same_seed_gives_the_same_pictures():
    first, second = sample(20, seed=3), sample(20, seed=3)
    assert first.scenes == second.scenes
    assert torch.equal(first.pixels, second.pixels)


def test_a_longer_sample_begins_with_the_shorter():
    assert sample(20, seed=3).scenes[:5] == sample(5, seed=3).scenes


def test_another_seed_or_split_gives_other_pictures():
    # a seed of more than 32 bits becomes two words, which must not look like a seed and a split
    seeds = (0, 1, 2**32, 2**32 + 1)
    seen = [set(sample(50, seed=seed, split=split).scenes) for seed in seeds for split in SPLITS]
    assert all(one.isdisjoint(other) for one, other in itertools.combinations(seen, 2))


def test_pixels_have_the_promised_shape_and_range():
    pixels = sample(50, seed=0).pixels
    assert pixels.shape == (50, 3, 32, 32)
    assert pixels.dtype == torch.float32
    assert pixels.min() >= 0
    assert pixels.max() <= 1


def test_an_empty_sample_is_empty_everywhere():
    batch = sample(0, seed=0)
    assert batch.pixels.shape == (0, 3, 32, 32)
    assert batch.centres.shape == (0, 2)
    assert batch.factors["shape"].dtype == torch.int64


@pytest.fixture(scope="module")
def many():
    return sample(3000, seed=1).factors


@pytest.mark.parametrize("factor", FACTORS)
def test_factors_are_uniform(factor, many):
    counts = torch.bincount(many[factor], minlength=len(FACTORS[factor]))
    expected = 3000 / len(FACTORS[factor])
    assert (counts - expected).abs().max() < 5 * math.sqrt(expected)


@pytest.mark.parametrize("factor", ["shape", "colour", "background", "cell"])
def test_factors_are_independent_of_size(factor, many):
    large = many[factor][many["size"] == FACTORS["size"].index("large")]
    counts = torch.bincount(large, minlength=len(FACTORS[factor]))
    assert counts.min() > 0.7 * len(large) / len(FACTORS[factor])


def test_factor_numbers_name_the_scenes_values():
    batch = sample(40, seed=5)
    for factor, numbers in batch.factors.items():
        named = [FACTORS[factor][number] for number in numbers.tolist()]
        assert named == [getattr(one, factor) for one in batch.scenes]


def test_the_mean_colour_inside_an_object_is_nearest_to_its_named_colour():
    batch = sample(300, seed=7)
    inside = (masks(batch.scenes) == 1).unsqueeze(1)
    means = (batch.pixels * inside).sum((2, 3)) / inside.sum((2, 3))
    named = torch.tensor(list(COLOURS.values()))
    nearest = torch.cdist(means, named).argmin(1)
    assert torch.equal(nearest, batch.factors["colour"])
    # tint and noise move a channel by no more than 0.04 and a few standard errors
    assert (means - named[nearest]).abs().max() < 0.04 + 3 * NOISE


def test_outside_the_object_there_is_only_the_background():
    batch = sample(100, seed=8)
    outside = masks(batch.scenes) == 0
    behind = torch.stack([torch.from_numpy(BACKGROUNDS[one.background]) for one in batch.scenes])
    difference = (batch.pixels - behind.unsqueeze(1)).abs().amax(1)
    assert difference[outside].max() < 6 * NOISE


def test_named_colours_are_far_apart():
    named = torch.tensor(list(COLOURS.values()))
    distances = torch.cdist(named, named) + 9 * torch.eye(len(named))
    assert distances.min() > 0.35


@pytest.mark.parametrize("radius_name", SIZES)
def test_no_two_shapes_have_nearly_the_same_ink(radius_name):
    drawn = masks([scene(shape=shape, size=radius_name) for shape in SHAPES])
    for one, other in itertools.combinations(drawn, 2):
        differing = (one - other).abs().sum() / torch.maximum(one, other).sum()
        assert differing > 0.15


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        ("circle", math.pi),
        ("square", (2 * 0.88) ** 2),
        ("triangle", 1.8),
        ("cross", 4 * 0.6 - 0.36),
        ("ring", math.pi * (1 - 0.55**2)),
        ("star", 5 * 0.5 * math.sin(math.pi / 5)),
    ],
)
def test_ink_equals_the_outlines_area_wherever_the_object_is(shape, area):
    scenes = [one for one in sample(600, seed=9).scenes if one.shape == shape]
    ink = masks(scenes).sum((1, 2))
    radii = torch.tensor([SIZES[one.size] for one in scenes])
    # an edge can pass a row of sample points by up to a quarter of a pixel
    assert torch.allclose(ink / radii**2, torch.full_like(ink, area), rtol=0.08)
    assert (ink / radii**2).mean().item() == pytest.approx(area, rel=0.015)


def test_the_centre_of_a_circles_ink_is_its_centre():
    batch = ShapesBatch.of(one for one in sample(300, seed=10).scenes if one.shape == "circle")
    ink = masks(batch.scenes)
    places = torch.arange(32) + 0.5
    x = (ink.sum(1) * places).sum(1) / ink.sum((1, 2))
    y = (ink.sum(2) * places).sum(1) / ink.sum((1, 2))
    assert torch.allclose(torch.stack([x, y], 1), batch.centres, atol=0.1)


def test_stars_and_triangles_point_up():
    star, triangle = masks([scene(shape=shape, size="large") for shape in ("star", "triangle")])
    middle = star[:, 15:17].sum(1).nonzero()
    assert (16 - middle.min()) > 1.5 * (middle.max() + 1 - 16)
    widths = triangle.sum(1)
    assert widths.argmax() > 20
    assert (widths[8:22].diff() > 0).all()


def test_coverage_grows_with_size_and_sums_to_the_ink():
    scenes = [scene(size=size) for size in ("small", "medium", "large")]
    batch = ShapesBatch.of(scenes)
    coverage = batch.coverage(patch=4)
    assert coverage.shape == (3, 8, 8)
    assert torch.allclose(coverage.sum((1, 2)) * 16, masks(scenes).sum((1, 2)))
    assert (coverage[1] >= coverage[0]).all()
    assert (coverage[2] >= coverage[1]).all()


def test_coverage_is_indexed_by_row_then_column():
    coverage = ShapesBatch.of([scene(x=26.0, y=6.0, size="small")]).coverage(patch=16)[0]
    assert coverage[0, 1] > 0
    assert coverage.sum() == coverage[0, 1]


def test_positions_hold_the_object_where_it_covers_a_patch():
    one = scene(x=26.0, y=6.0, size="small", colour="blue", background="stripes")
    places = ShapesBatch.of([one, scene()]).positions(patch=16)
    absent = [[ABSENT, ABSENT], [ABSENT, ABSENT]]
    for factor in ("shape", "colour", "size"):
        number = FACTORS[factor].index(getattr(one, factor))
        assert places[factor][0].tolist() == [[ABSENT, number], absent[1]]
    assert (places["background"][0] == FACTORS["background"].index("stripes")).all()
    fine = ShapesBatch.of([scene(size="large")]).positions(patch=4)
    assert fine["background"][0, 4, 4] == ABSENT
    assert fine["shape"][0, 4, 4] == FACTORS["shape"].index("circle")
    assert fine["shape"][0, 0, 0] == ABSENT


def test_another_colour_changes_only_the_objects_pixels():
    for one in sample(20, seed=11).scenes:
        other = "blue" if one.colour != "blue" else "red"
        before, after = draw([one, dataclasses.replace(one, colour=other)])
        changed = (before != after).any(0)
        ink = masks([one])[0]
        assert not changed[ink == 0].any()
        assert changed[ink == 1].all()


def test_another_background_leaves_the_objects_full_pixels():
    one = scene(noise_seed=4)
    before, after = draw([one, dataclasses.replace(one, background="black")])
    full = masks([one])[0] == 1
    assert torch.equal(before[:, full], after[:, full])
    assert (before != after).any(0)[~full].all()


@pytest.mark.parametrize(("row", "column"), list(itertools.product(range(3), range(3))))
def test_cells_name_the_place_of_the_centre(row, column):
    assert scene(x=5 + 11 * column, y=5 + 11 * row).cell == CELLS[row][column]


def test_a_caption_says_what_the_picture_shows():
    words = scene(size="small", x=3.0, y=4.0).caption
    assert words == "a small red circle on grey at the top left"
    for one in sample(100, seed=12).scenes:
        assert {one.size, one.colour, one.shape} <= set(one.caption.replace(",", "").split())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "mauve"}, "no colour is called 'mauve'; choose from red, orange"),
        ({"shape": "blob"}, "no shape is called 'blob'"),
        ({"wording": 99}, "wording is 99"),
        ({"x": 40.0}, "outside the 32 x 32 picture"),
        ({"y": math.nan}, "outside the 32 x 32 picture"),
    ],
)
def test_a_scene_that_cannot_be_drawn_is_refused(changes, message):
    with pytest.raises(ZooError, match=message):
        scene(**changes)


def test_unknown_splits_counts_and_patches_are_refused():
    with pytest.raises(ZooError, match="no split is called 'test'; choose from train, held_out"):
        sample(1, seed=0, split="test")
    with pytest.raises(ZooError, match="n is -1"):
        sample(-1, seed=0)
    with pytest.raises(ZooError, match="patch is 5"):
        sample(1, seed=0).coverage(patch=5)
