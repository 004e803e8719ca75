"""The judge of pictures: it knows when there is nothing to see."""

import torch
from torch.nn.functional import max_pool2d

from anylens.zoo.measure.judge import empty
from anylens.zoo.worlds.shapes import sample


def test_pictures_without_an_object_are_empty_and_no_others_are():
    drawn = sample(256, seed=5)
    pixels = drawn.pixel_values / 2 + 0.5
    assert not empty(pixels).any()
    near = max_pool2d((drawn.positions(patch=1)["colour"] >= 0)[:, None].float(), 5, 1, 2).bool()
    assert empty(torch.where(near, 0.1, pixels)).all()
