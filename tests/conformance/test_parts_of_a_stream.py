"""A picture and a text in one stream: what holds the picture alone does not follow a longer text."""

from dataclasses import replace

import torch
from torch import nn

import anylens
from anylens.conformance import check
from tests.conformance.planted import lens_on, only


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(6), nn.Linear(6, 12), nn.Linear(12, 6)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(self.norm(x))))


class Joint(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch, self.words = nn.Conv2d(3, 6, 2, stride=2), nn.Embedding(9, 6)
        self.layers = nn.ModuleList(Block() for _ in range(2))
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 2)

    def forward(self, picture, text):
        patches = self.patch(picture).flatten(2).transpose(1, 2)
        x = torch.cat([patches, self.words(text)], 1)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x[:, : patches.shape[1]]))


def made():
    torch.manual_seed(0)
    return Joint().eval(), {"picture": torch.randn(2, 3, 4, 4), "text": torch.randint(9, (2, 5))}


def failures(lens, example):
    return [
        failure.point for one in check(lens, example, checks=["axes"]).outcomes for failure in one.failures
    ]


def test_a_norm_that_takes_the_picture_alone_need_not_follow_the_text():
    lens, example = lens_on(made())
    assert lens.points["ln_final.hook_normalized"].shape == (2, 4, 6)
    assert lens.points["hook_embed"].shape == (2, 4, 6)
    assert failures(lens, example) == []


def test_a_part_whose_features_are_called_positions_is_still_found():
    turned = only("ln_final.hook_normalized", lambda point: replace(point, axes=("batch", "d_model", "pos")))
    lens, example = lens_on(made(), turned)
    assert failures(lens, example) == ["ln_final.hook_normalized"]


def test_a_point_inside_a_block_has_to_follow():
    model, example = made()
    lens = anylens.attach(model, example)
    whole = {point.name for point in lens.points.canonical.values()}
    assert {"blocks.0.hook_resid_pre", "blocks.1.hook_mlp_out"} <= whole
    turned = only("blocks.1.hook_mlp_out", lambda point: replace(point, axes=("batch", "d_model", "pos")))
    lens, example = lens_on((model, example), turned)
    assert "blocks.1.hook_mlp_out" in failures(lens, example)
