"""Directions: by hand, by another way, and on rows whose spread was planted."""

import pytest
import torch

import anylens
from anylens.analysis.directions import principal_differences, principal_directions, random_like
from anylens.core.errors import ShapeError, StoreError
from anylens.harvest import collect

POINT = "blocks.1.hook_resid_post"


def pictures(count):
    return {"pixel_values": torch.randn(count, 3, 8, 8)}


@pytest.mark.parametrize(
    ("positions", "chosen"), [("all", slice(None)), ("first", slice(0, 1)), ([1, 3], [1, 3])]
)
def test_a_direction_is_the_difference_of_the_means(lens, positions, chosen):
    first, second = [pictures(3), pictures(2)], [pictures(4)]
    found = anylens.difference_of_means(
        lens, first, second, points="blocks.*.hook_resid_post", positions=positions
    )
    assert list(found) == [f"blocks.{layer}.hook_resid_post" for layer in range(3)]
    means = []
    for side in (first, second):
        values = [lens.run_with_cache(**one, points=POINT)[1][POINT][:, chosen] for one in side]
        means.append(torch.cat(values).flatten(0, 1).mean(0))
    torch.testing.assert_close(found[POINT], means[0] - means[1])


def test_directions_of_steps():
    cell = torch.nn.GRUCell(3, 4)
    xs = torch.randn(2, 5, 2, 3)
    lens = anylens.attach(cell, (xs[0, 0],))

    def loop(inputs):
        state = None
        for x in inputs:
            state = cell(x, state)
        return state

    found = anylens.difference_of_means(lens, [xs[0]], [xs[1]], points="hook_out", steps=[4], method=loop)
    torch.testing.assert_close(found["hook_out"], (loop(xs[0]) - loop(xs[1])).mean(0).detach())


def test_rows_are_collected_with_where_they_came_from(lens):
    data = [pictures(2), pictures(3)]
    rows = collect(lens, data, points=POINT, positions=[0, 2])[POINT]
    assert rows.sample.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert rows.axes == ("pos",)
    assert rows.where.tolist() == [[0, 0], [0, 2]] * 5
    values = torch.cat([lens.run_with_cache(**one, points=POINT)[1][POINT] for one in data])
    assert torch.equal(rows.values, values[:, [0, 2]].flatten(0, 1))


def test_without_rows_there_is_nothing_to_collect(lens):
    with pytest.raises(StoreError, match="no rows of blocks.1"):
        collect(lens, [], points=POINT)
    with pytest.raises(StoreError, match="no rows of blocks.1"):
        anylens.difference_of_means(lens, [pictures(2)], [pictures(2)], points=POINT, positions=slice(0, 0))
    with pytest.raises(StoreError, match="Put it in a list"):
        collect(lens, pictures(2), points=POINT)


def test_principal_directions_are_those_that_were_planted():
    basis = torch.linalg.qr(torch.randn(6, 6)).Q
    spread = torch.tensor([9.0, 4.0, 1.0, 0.1, 0.1, 0.1])
    values = torch.randn(4000, 6) * spread @ basis.T + 100.0
    found = principal_directions(values, 3)
    torch.testing.assert_close(found.norm(dim=1), spread[:3], rtol=0.05, atol=0)
    cosines = (found / found.norm(dim=1, keepdim=True)) @ basis[:, :3]
    torch.testing.assert_close(cosines.abs(), torch.eye(3), atol=0.03, rtol=0)
    assert bool((found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all())
    scores = (values - values.mean(0)) @ (found / found.norm(dim=1, keepdim=True)).T
    torch.testing.assert_close(scores.std(0, correction=0), found.norm(dim=1), rtol=1e-4, atol=1e-4)


def test_principal_differences_point_to_the_first_side():
    way = torch.tensor([0.0, -3.0, 4.0])
    away = torch.randn(500, 3) * 20
    amount = 1 + 0.1 * torch.randn(500, 1)
    found = principal_differences(away + amount * way + 0.1 * torch.randn(500, 3), away)[0]
    torch.testing.assert_close(found, way, rtol=0.02, atol=0.05)


@pytest.mark.parametrize("count", [0, 4])
def test_no_more_directions_than_there_are(count):
    with pytest.raises(ShapeError, match=f"{count} directions"):
        principal_directions(torch.randn(9, 3), count)
    with pytest.raises(ShapeError, match="do not pair up"):
        principal_differences(torch.randn(9, 3), torch.randn(8, 3))


def test_a_random_direction_is_as_long_and_repeats():
    direction = torch.randn(5, 16)
    noise = random_like(direction, seed=3)
    torch.testing.assert_close(noise.norm(dim=-1), direction.norm(dim=-1))
    assert torch.equal(noise, random_like(direction, seed=3))
    assert not torch.equal(noise, random_like(direction, seed=4))
