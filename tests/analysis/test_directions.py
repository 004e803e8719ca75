import pytest
import torch

from anylens.analysis.directions import difference_of_means, random_like
from anylens.core.errors import AxisError


def test_a_direction_is_the_difference_of_the_means(lens):
    first, second = (torch.randn(n, 3, 8, 8) for n in (3, 5))
    point = "blocks.1.hook_resid_post"
    found = difference_of_means(lens, {"pixel_values": first}, {"pixel_values": second}, points=point)[point]
    caches = [lens.run_with_cache(pixel_values=batch, points=point)[1] for batch in (first, second)]
    torch.testing.assert_close(found, caches[0][point].mean(0) - caches[1][point].mean(0))
    assert found.shape == (5, 16)


def test_a_random_direction_is_as_long_and_repeats(lens):
    direction = torch.randn(5, 16)
    noise = random_like(direction, seed=3)
    torch.testing.assert_close(noise.norm(dim=-1), direction.norm(dim=-1))
    assert torch.equal(noise, random_like(direction, seed=3))
    assert not torch.equal(noise, random_like(direction, seed=4))


def test_a_point_without_batch_is_refused(lens):
    x = {"pixel_values": torch.randn(2, 3, 8, 8)}
    weight = next(name for name, point in lens.points.ops.items() if point.axes[:1] != ("batch",))
    with pytest.raises(AxisError, match="the first must be batch"):
        difference_of_means(lens, x, x, points=weight)
