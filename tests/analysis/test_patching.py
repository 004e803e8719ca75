"""A sweep gives what the plain loop of one whole forward for each cell gives."""

import itertools

import pytest
import torch

import anylens
from anylens.analysis.metrics import logit_difference
from anylens.analysis.patching import patching_sweep
from anylens.analysis.sweeping import Settings, Windows
from anylens.core.errors import AxisError, EditError, ShapeError, UnknownPointError

POINTS = "blocks.*.hook_resid_pre"


@pytest.fixture
def pair():
    return tuple({"pixel_values": torch.randn(1, 3, 8, 8)} for _ in range(2))


metric = logit_difference(0, 1)


def by_hand(lens, clean, corrupted, point, **where):
    """One cell of the grid, as one writes it without a sweep: one whole forward."""
    _, cache = lens.run_with_cache(**clean, points=point)
    with torch.no_grad():
        output = lens.run_with_hooks(**corrupted, hooks={point: anylens.patch_from(cache).on(**where)})
        return output.logits[:, 0] - output.logits[:, 1]


def patched(lens, clean, corrupted, **more):
    return patching_sweep(lens, corrupted, source=clean, **{"points": POINTS, "metric": metric, **more})


def test_every_cell_is_what_the_plain_loop_gives(lens, pair):
    grid = patched(lens, *pair, settings=Settings(rows=4))
    assert grid.axes == ("row", "layer", "pos")
    assert grid.coordinates == {"row": (0,), "layer": (0, 1, 2), "pos": (0, 1, 2, 3, 4)}
    for layer, pos in itertools.product(range(3), range(5)):
        expected = by_hand(lens, *pair, f"blocks.{layer}.hook_resid_pre", pos=pos)
        torch.testing.assert_close(grid.at(layer=layer, pos=pos), expected, atol=1e-6, rtol=1e-6)
    assert grid.values.std() > 1e-3


def test_several_axes_at_once(lens, pair):
    grid = patched(lens, *pair, points="blocks.*.attn.hook_z", over="pos head")
    assert (grid.axes, grid.values.shape) == (("row", "layer", "pos", "head"), (1, 3, 5, 2))
    expected = by_hand(lens, *pair, "blocks.1.attn.hook_z", pos=3, head=1)
    torch.testing.assert_close(grid.at(layer=1, pos=3, head=1), expected, atol=1e-6, rtol=1e-6)


def test_windows_of_positions_and_of_layers(lens, pair):
    grid = patched(
        lens, *pair, points="blocks.*.hook_mlp_out", over={"layer": Windows(2), "pos": Windows(2, 2)}
    )
    assert grid.coordinates == {"row": (0,), "layer": ((0, 1), (1, 2)), "pos": ((0, 1), (2, 3))}
    _, cache = lens.run_with_cache(**pair[0], points="blocks.*.hook_mlp_out")
    hooks = {f"blocks.{layer}.hook_mlp_out": anylens.patch_from(cache).on(pos=[2, 3]) for layer in (1, 2)}
    expected = metric(lens.run_with_hooks(**pair[1], hooks=hooks))
    torch.testing.assert_close(grid.at(layer=(1, 2), pos=(2, 3)), expected.detach(), atol=1e-6, rtol=1e-6)


def test_the_size_of_a_forward_and_where_it_begins_change_nothing(lens, pair):
    ways = [Settings(rows=1), Settings(), Settings(resume=False), Settings(rows=1, resume=False)]
    grids = [patched(lens, *pair, settings=way) for way in ways]
    for grid in grids[1:]:
        torch.testing.assert_close(grid.values, grids[0].values, atol=1e-6, rtol=1e-6)


def test_several_pairs_give_what_each_gives_alone(lens):
    clean, corrupted = (torch.randn(3, 3, 8, 8) for _ in range(2))
    grid = patched(lens, {"pixel_values": clean}, {"pixel_values": corrupted}, settings=Settings(rows=7))
    for n in range(3):
        alone = patched(lens, {"pixel_values": clean[n : n + 1]}, {"pixel_values": corrupted[n : n + 1]})
        torch.testing.assert_close(grid.recovered[n], alone.recovered[0], atol=1e-5, rtol=1e-4)


def test_everything_patched_recovers_everything(lens, pair):
    grid = patched(lens, *pair, over={"pos": [range(5), [0, -1], 0]})
    assert grid.coordinates["pos"] == ((0, 1, 2, 3, 4), (0, -1), 0)
    torch.testing.assert_close(grid.recovered[0, :, 0], torch.ones(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(patched(lens, *pair, over="").recovered, torch.ones(1, 3), atol=1e-4, rtol=0)


def test_noising_is_denoising_with_the_runs_swapped(lens, pair):
    there, back = patched(lens, *pair), patched(lens, *reversed(pair))
    assert torch.equal(there.base, back.source)
    assert not torch.allclose(there.values, back.values)
    torch.testing.assert_close(
        back.at(layer=2, pos=0), by_hand(lens, *reversed(pair), "blocks.2.hook_resid_pre", pos=0)
    )


def test_a_run_patched_with_itself_stays_as_it_is(lens, pair):
    grid = patched(lens, pair[0], pair[0])
    torch.testing.assert_close(grid.effect, torch.zeros_like(grid.values), atol=1e-6, rtol=0)


def test_points_that_differ_in_more_than_their_layer_go_by_name(lens, pair):
    grid = patched(lens, *pair, points=["blocks.*.hook_mlp_out", "blocks.2.hook_resid_post"])
    assert grid.axes == ("row", "point", "pos")
    assert grid.coordinates["point"][-1] == "blocks.2.hook_resid_post"


def test_the_model_is_left_alone(lens, pair):
    before, forward = lens.model(**pair[1]).logits, type(lens.model.vit.layers[0]).forward
    patched(lens, *pair)
    assert torch.equal(lens.model(**pair[1]).logits, before)
    assert type(lens.model.vit.layers[0]).forward is forward
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in lens.model.modules())


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"over": "head"}, AxisError, "axes batch pos d_model"),
        ({"over": "batch"}, AxisError, "other than batch"),
        ({"over": "pos pos"}, EditError, "each axis once"),
        ({"over": {"pos": [5]}}, AxisError, "5 is outside pos, which has 5"),
        ({"over": {"pos": []}}, AxisError, "No places"),
        ({"over": {"pos": Windows(6)}}, AxisError, "No places"),
        ({"over": {"layer": [7]}}, AxisError, "7 is outside layer"),
        ({"over": "layer", "points": "hook_embed"}, AxisError, "in no layer"),
        ({"over": {"step": [1]}}, AxisError, "1 is outside step, which has 1"),
        ({"points": "blocks.9.hook_resid_pre"}, UnknownPointError, "blocks.0.hook_resid_pre"),
        ({"metric": lambda output: output.logits}, ShapeError, "one number for each of the"),
        ({"metric": lambda output: 0.0}, ShapeError, "it gave float"),
    ],
)
def test_what_cannot_be_done_is_refused(lens, pair, wrong, error, says):
    with pytest.raises(error, match=says):
        patched(lens, *pair, **wrong)


def test_inputs_of_different_sizes_are_refused(lens, pair):
    with pytest.raises(ShapeError, match="Give inputs of one size"):
        patched(lens, pair[0], {"pixel_values": torch.randn(2, 3, 8, 8)})
