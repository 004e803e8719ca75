import pytest
import torch

import anylens
from anylens.analysis.patching import patch_grid
from anylens.core.errors import AxisError, EditError, ShapeError, UnknownPointError

POINTS = "blocks.*.hook_resid_pre"


@pytest.fixture
def pair():
    return tuple({"pixel_values": torch.randn(1, 3, 8, 8)} for _ in range(2))


def metric(output):
    return output.logits[:, 0] - output.logits[:, 1]


def by_hand(lens, clean, corrupted, point, **where):
    """One cell of the grid, as one writes it without `patch_grid`."""
    _, cache = lens.run_with_cache(**clean, points=point)
    with torch.no_grad():
        return metric(lens.run_with_hooks(**corrupted, hooks={point: anylens.patch_from(cache).on(**where)}))[
            0
        ]


def test_every_cell_is_what_the_plain_loop_gives(lens, pair):
    grid = patch_grid(lens, *pair, points=POINTS, metric=metric, rows=4)
    assert grid.points == tuple(f"blocks.{i}.hook_resid_pre" for i in range(3))
    assert grid.places == tuple((p,) for p in range(5))
    loop = torch.stack(
        [torch.stack([by_hand(lens, *pair, point, pos=p) for p in range(5)]) for point in grid.points]
    )
    torch.testing.assert_close(grid.values[0], loop, atol=1e-6, rtol=1e-6)
    assert grid.values.std() > 1e-3


def test_the_size_of_a_forward_changes_nothing(lens, pair):
    small, large = (patch_grid(lens, *pair, points=POINTS, metric=metric, rows=n) for n in (1, 100))
    torch.testing.assert_close(small.values, large.values, atol=1e-6, rtol=1e-6)


def test_several_pairs_give_what_each_gives_alone(lens):
    clean, corrupted = (torch.randn(3, 3, 8, 8) for _ in range(2))
    grid = patch_grid(
        lens, {"pixel_values": clean}, {"pixel_values": corrupted}, points=POINTS, metric=metric, rows=7
    )
    for n in range(3):
        alone = patch_grid(
            lens,
            {"pixel_values": clean[n : n + 1]},
            {"pixel_values": corrupted[n : n + 1]},
            points=POINTS,
            metric=metric,
        )
        torch.testing.assert_close(grid.recovered[n], alone.recovered[0], atol=1e-5, rtol=1e-4)


def test_everything_patched_recovers_everything(lens, pair):
    grid = patch_grid(lens, *pair, points=POINTS, metric=metric, over={"pos": [range(5), [0, -1], 0]})
    assert grid.places == ((0, 1, 2, 3, 4), (0, -1), (0,))
    torch.testing.assert_close(grid.recovered[0, :, 0], torch.ones(3), atol=1e-4, rtol=0)
    expected = by_hand(lens, *pair, grid.points[1], pos=[0, 4])
    torch.testing.assert_close(grid.values[0, 1, 1], expected, atol=1e-6, rtol=1e-6)


def test_a_run_patched_with_itself_recovers_nothing(lens, pair):
    grid = patch_grid(lens, pair[0], pair[0], points=POINTS, metric=metric)
    torch.testing.assert_close(grid.values, grid.clean[:, None, None].expand_as(grid.values))


def test_heads_can_be_patched(lens, pair):
    grid = patch_grid(lens, *pair, points="blocks.*.attn.hook_z", metric=metric, over="head")
    assert grid.values.shape == (1, 3, 2)
    expected = by_hand(lens, *pair, "blocks.1.attn.hook_z", head=1)
    torch.testing.assert_close(grid.values[0, 1, 1], expected, atol=1e-6, rtol=1e-6)


def test_the_model_is_left_alone(lens, pair):
    before = metric(lens.model(**pair[1]))
    patch_grid(lens, *pair, points=POINTS, metric=metric)
    assert torch.equal(metric(lens.model(**pair[1])), before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in lens.model.modules())


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"over": "head"}, AxisError, "axes batch pos d_model"),
        ({"over": "batch"}, AxisError, "batch first"),
        ({"over": {"pos": [5]}}, AxisError, "5 is outside pos, which has 5"),
        ({"over": {"pos": []}}, AxisError, "none given"),
        ({"over": {}}, EditError, "over names one axis"),
        ({"points": "blocks.9.hook_resid_pre"}, UnknownPointError, "blocks.0.hook_resid_pre"),
        ({"metric": lambda output: output.logits}, ShapeError, "one number for each of the"),
        ({"metric": lambda output: 0.0}, ShapeError, "it gave float"),
    ],
)
def test_what_cannot_be_done_is_refused(lens, pair, wrong, error, says):
    with pytest.raises(error, match=says):
        patch_grid(lens, *pair, **{"points": POINTS, "metric": metric, **wrong})


def test_inputs_of_different_sizes_are_refused(lens, pair):
    with pytest.raises(ShapeError, match="The clean input has shapes"):
        patch_grid(lens, pair[0], {"pixel_values": torch.randn(2, 3, 8, 8)}, points=POINTS, metric=metric)
