"""Interventions: what they take, where they act, and what they refuse."""

import numpy
import pytest
import torch
from torch import nn

import anylens
from anylens.core.errors import AxisError, DtypeError, EditError, ShapeError

POST = "blocks.0.hook_resid_post"


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x):
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))


@pytest.fixture
def made():
    model, example = nn.Sequential(Block(), Block()), torch.randn(2, 5, 8)
    return example, anylens.attach(model, example)


def zeroed(made, index):
    """Which positions are set to nothing."""
    example, lens = made
    hooks = {POST: anylens.scale(0).on(pos=index)}
    _, steps = lens.record(example, points=POST, hooks=hooks)
    gone = (steps[0][POST] == 0).all(-1)
    assert torch.equal(gone[0], gone[1])
    return gone[0].nonzero().flatten().tolist()


@pytest.mark.parametrize(
    ("index", "positions"),
    [
        (-1, [4]),
        (slice(1, None, 2), [1, 3]),
        ([], []),
        ([0, -1], [0, 4]),
        ([False, True, False, False, True], [1, 4]),
        (torch.tensor([True, False, False, False, False]), [0]),
        (torch.tensor(2), [2]),
        (numpy.array([1, 2]), [1, 2]),
        (range(3), [0, 1, 2]),
        ({3}, [3]),
    ],
)
def test_an_index_selects_what_it_does_in_a_list(made, index, positions):
    assert zeroed(made, index) == positions


@pytest.mark.parametrize(
    "index",
    [
        True,
        None,
        1.5,
        [1.5],
        "all",
        ...,
        [True, False],
        [True] + [False] * 7,
        torch.zeros(2, 5, dtype=torch.bool),
        [[0, 1], [2, 3]],
        9,
    ],
)
def test_what_is_no_index_of_the_axis_is_refused(made, index):
    with pytest.raises(AxisError, match="pos"):
        zeroed(made, index)


def test_an_index_serves_every_point_it_is_used_at(made):
    example, lens = made
    narrowed = anylens.scale(0).on(pos=(number for number in [1]))
    _, steps = lens.record(
        example, points="blocks.*.hook_resid_post", hooks={"blocks.*.hook_resid_post": narrowed}
    )
    for name in ("blocks.0.hook_resid_post", "blocks.1.hook_resid_post"):
        assert not steps[0][name][:, 1].any()


@pytest.mark.parametrize("steps", [-1, [0, -1], slice(-2, None), 1.5, "last"])
def test_steps_that_an_edit_cannot_know_are_refused(steps):
    with pytest.raises(EditError, match="steps|end"):
        anylens.scale(0).on(steps=steps)


def test_what_is_put_in_is_a_tensor_or_numbers(made):
    example, lens = made
    plain = lens.run_with_hooks(example, hooks={POST: anylens.add(torch.ones(8))})
    for same in ([1.0] * 8, numpy.ones(8, dtype="float32")):
        assert torch.equal(lens.run_with_hooks(example, hooks={POST: anylens.add(same)}), plain)
    for make in (anylens.add, anylens.scale, anylens.set_to):
        with pytest.raises(DtypeError, match="tensor or a number"):
            make("much")
    with pytest.raises(EditError, match="cache or a tensor"):
        anylens.patch_from(None)


def test_a_value_of_another_rank_has_no_axes_to_narrow_to():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    lens = anylens.attach(model, torch.randn(2, 4))
    halved = lens.run_with_hooks(torch.ones(4), hooks={"0.hook_out": anylens.scale(0.5)})
    assert torch.equal(halved, model(torch.ones(4)) / 2)
    with pytest.raises(AxisError, match="does not go with its axes"):
        lens.run_with_hooks(torch.ones(4), hooks={"0.hook_out": anylens.scale(0.5).on(batch=0)})


def patched(made, along, **where):
    """What patching along directions puts at a point, beside what was there and what it was taken from."""
    example, lens = made
    _, cache = lens.run_with_cache(example + 1, points=POST)
    hook = anylens.patch_from(cache, along=along).on(**where)
    before = lens.record(example, points=POST)[1][0][POST]
    return lens.record(example, points=POST, hooks={POST: hook})[1][0][POST], before, cache[POST]


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_patch_along_directions_takes_their_span_alone(made, count):
    along = torch.randn(count, 8)
    after, before, other = patched(made, along if count > 1 else along[0], pos=slice(1, 4))
    onto = torch.linalg.pinv(along) @ along  # the projection, by another way
    torch.testing.assert_close(after[:, 1:4], (before + (other - before) @ onto)[:, 1:4], atol=1e-5, rtol=0)
    assert torch.equal(after[:, [0, 4]], before[:, [0, 4]])
    if count == 8:
        torch.testing.assert_close(after[:, 1:4], other[:, 1:4], atol=1e-5, rtol=0)


def test_a_patch_along_directions_of_a_map_goes_by_channels():
    model = nn.Conv2d(3, 4, 1)
    lens = anylens.attach(nn.Sequential(model), torch.randn(2, 3, 5, 5))
    point = "0.hook_out"
    assert "channel" in lens.points[point].axes
    one, other = torch.randn(2, 3, 5, 5), torch.randn(2, 3, 5, 5)
    hook = anylens.patch_from(model(other).detach(), along=torch.tensor([0.0, 0.0, 2.0, 0.0]))
    got = lens.run_with_hooks(one, hooks={point: hook})
    torch.testing.assert_close(got[:, 2], model(other)[:, 2])
    torch.testing.assert_close(got[:, [0, 1, 3]], model(one)[:, [0, 1, 3]])


@pytest.mark.parametrize(
    ("along", "error", "says"),
    [
        (torch.zeros(8), EditError, "span less"),
        (torch.ones(2, 8), EditError, "2 directions were given"),
        (torch.randn(9, 8), EditError, "span less"),
        (torch.full((8,), torch.nan), EditError, "span less"),
        (torch.ones(2, 2, 8), ShapeError, "directions? are of shape|Directions"),
        (torch.ones(7), ShapeError, "width 7"),
    ],
)
def test_directions_that_do_not_serve_are_refused(made, along, error, says):
    with pytest.raises(error, match=says):
        patched(made, along)


def test_a_mask_over_several_axes_selects_another_place_in_each_sample(made):
    example, lens = made
    mask = torch.rand(2, 5, generator=torch.Generator().manual_seed(0)) > 0.5
    assert 0 < mask.sum() < 10
    hooks = {POST: anylens.add(1.0).within(mask, "batch", "pos")}
    assert torch.equal(got(lens, example, hooks), got(lens, example) + mask[..., None])
    turned = {POST: anylens.add(1.0).within(mask.T, "pos", "batch")}
    assert torch.equal(got(lens, example, turned), got(lens, example, hooks))
    any_row = {POST: anylens.add(1.0).within(mask[:1], "batch", "pos")}
    assert torch.equal(got(lens, example, any_row), got(lens, example) + mask[:1, :, None])


def test_a_mask_goes_with_indices_with_patches_and_with_another_mask(made):
    example, lens = made
    mask = torch.zeros(2, 5, dtype=torch.bool)
    mask[0, 1:3] = mask[1, 4] = True
    plain = got(lens, example)
    narrowed = anylens.add(1.0).on(pos=slice(2, None)).within(mask, "batch", "pos")
    wanted = plain.clone()
    wanted[0, 2] += 1
    wanted[1, 4] += 1
    assert torch.equal(got(lens, example, {POST: narrowed}), wanted)
    other = torch.randn(plain.shape)
    patched = anylens.patch_from(other).within(mask, "batch", "pos")
    assert torch.equal(got(lens, example, {POST: patched}), torch.where(mask[..., None], other, plain))
    one = narrowed.within(torch.tensor([True, False]), "batch")
    wanted[1, 4] = plain[1, 4]
    assert torch.equal(got(lens, example, {POST: one}), wanted)
    assert repr(one) == "add.on(pos=slice(2, None, None)).within(batch pos).within(batch)"


@pytest.mark.parametrize(
    ("mask", "axes", "says"),
    [
        (torch.ones(2, 5), ("batch", "pos"), "a mask of booleans"),
        (torch.ones(2, 5) > 0, ("batch",), "a mask of booleans"),
        (torch.ones(2, 5) > 0, ("batch", "batch"), "a mask of booleans"),
        ([[True]], ("batch", "pos"), "list"),
        (torch.ones(2, 4) > 0, ("batch", "pos"), "A mask of 4 does not fit axis 'pos'"),
        (torch.ones(2, 5) > 0, ("batch", "height"), "no axis 'height'"),
        (torch.ones(2) > 0, (["batch"],), "a mask of booleans"),
    ],
)
def test_what_is_no_mask_of_the_axes_is_refused(made, mask, axes, says):
    example, lens = made
    with pytest.raises(AxisError, match=says):
        lens.run_with_hooks(example, hooks={POST: anylens.add(1.0).within(mask, *axes)})


def got(lens, example, hooks=None):
    """What the point has."""
    with lens.hooks(hooks or {}):
        _, cache = lens.run_with_cache(example, points=POST)
    return cache[POST]
