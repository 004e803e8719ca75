"""Streams whose shape is not that of the tensors a block takes: turned, flattened, cut, or added up by the caller."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import anylens
from anylens.conformance import check
from anylens.core.errors import AbsentPointError

CHECKS = [
    "names",
    "prefixes",
    "as-announced",
    "axes",
    "blocks",
    "edits",
    "stream-sums",
    "stream-removal",
    "order",
]


def run(model, example, points):
    lens = anylens.attach(model, example)
    check(lens, example, checks=CHECKS).require()
    return lens, lens.run_with_cache(example, points=points)[1]


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up, self.down = nn.Linear(width, 12), nn.Linear(12, width)

    def forward(self, x):
        return self.down(self.up(x).relu())


class Stack(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x * 2


class AddedByTheCaller(Stack):
    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return x * 2


def test_a_caller_adds_what_its_layers_give_out():
    torch.manual_seed(0)
    model = AddedByTheCaller(Mlp(8), Mlp(8), Mlp(8))
    x = torch.randn(2, 5, 8)
    lens, cache = run(model, x, ["blocks.*.hook_*"])
    seen = []
    for layer in model.layers:
        seen.append(x)
        x = x + layer(x)
    for number in range(3):
        assert torch.equal(cache[f"blocks.{number}.hook_resid_pre"], seen[number])
    assert torch.equal(cache["blocks.1.hook_mlp_out"], model.layers[1](seen[1]))
    assert torch.equal(cache["blocks.2.hook_resid_post"], x)
    edited = lens.run_with_hooks(seen[0], hooks={"blocks.1.hook_resid_pre": lambda value, _: value + 1})
    expected = seen[1] + 1
    for layer in model.layers[1:]:
        expected = expected + layer(expected)
    assert torch.equal(edited, expected * 2)


class ChannelsLast(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(width), Mlp(width)

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        x = x + self.mlp(self.norm(x))
        x = x + self.mlp(x)
        return x.permute(0, 3, 1, 2)


def test_a_stream_that_a_block_turns_is_shown_as_it_enters():
    torch.manual_seed(0)
    model = Stack(ChannelsLast(8), ChannelsLast(8))
    x = torch.randn(2, 8, 4, 3)
    lens, cache = run(model, x, ["blocks.0.*"])
    assert lens.points["blocks.0.hook_resid_mid"].axes == ("batch", "channel", "height", "width")
    first = model.layers[0]
    turned = x.permute(0, 2, 3, 1)
    mid = turned + first.mlp(first.norm(turned))
    assert torch.equal(cache["blocks.0.hook_resid_mid"], mid.permute(0, 3, 1, 2))
    assert torch.equal(cache["blocks.0.ln1.hook_normalized"], first.norm(turned).permute(0, 3, 1, 2))


class Flattened(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(width), Mlp(width)

    def forward(self, x):
        flat = x.flatten(2).transpose(1, 2)
        flat = flat + self.mlp(self.norm(flat))
        flat = flat + self.mlp(flat)
        return flat.transpose(1, 2).reshape(x.shape)


def test_positions_that_a_block_flattens_are_positions():
    torch.manual_seed(0)
    lens, cache = run(Stack(Flattened(8), Flattened(8)), torch.randn(2, 8, 4, 3), ["blocks.0.*"])
    assert lens.points["blocks.0.hook_resid_pre"].axes == ("batch", "channel", "height", "width")
    assert lens.points["blocks.0.hook_resid_mid"].axes == ("batch", "pos", "d_model") or (
        lens.points["blocks.0.hook_resid_mid"].axes == ("batch", "pos", "channel")
    )
    assert cache["blocks.0.hook_resid_mid"].shape == (2, 12, 8)


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x.relu())


class Shrinks(nn.Module):
    """A block whose shortcut folds neighbours into channels and takes their mean."""

    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width // 4, 3, padding=1)

    def forward(self, x):
        short = F.pixel_unshuffle(x, 2)
        short = short.unflatten(1, (-1, 4)).mean(2)
        return F.pixel_unshuffle(self.conv(x), 2) + short


def test_a_shortcut_that_pools_is_no_stream():
    torch.manual_seed(0)
    model = nn.Sequential(Stack(Residual(16), Residual(16)), Stack(Shrinks(16), Shrinks(16)))
    example = torch.randn(2, 16, 8, 8)
    lens = anylens.attach(model, example)
    check(lens, example, checks=CHECKS).require()
    assert all(not block.path.startswith("1.") for stream in lens.anatomy.streams for block in stream.blocks)


class RootMeanSquare(nn.Module):
    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


class PostNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mlp, self.norm = Mlp(width), RootMeanSquare()

    def forward(self, x):
        return self.norm(self.norm(x + self.mlp(x)) + self.mlp(x))


class Gated(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mlp, self.gate = Mlp(width), nn.Linear(width, width)

    def forward(self, x):
        return x * self.gate(x).sigmoid() + self.mlp(x)


def test_a_norm_written_out_is_one_and_a_gate_is_not():
    torch.manual_seed(0)
    example = torch.randn(2, 5, 8)
    lens, _ = run(Stack(PostNorm(8), PostNorm(8)), example, ["blocks.*.hook_resid_mid"])
    assert [block.kind for block in lens.anatomy.streams[0].blocks] == ["post-norm", "post-norm"]
    gated = anylens.attach(Stack(Gated(8), Gated(8)), example)
    with pytest.raises(AbsentPointError):
        gated.points.select("blocks.0.hook_resid_pre")


class Widens(nn.Module):
    """A block that is a stage of its own where it widens the stream: its shortcut is a map."""

    def __init__(self, width, wider):
        super().__init__()
        self.mlp, self.into = Mlp(wider), nn.Linear(width, wider) if wider > width else None

    def forward(self, x):
        x = x if self.into is None else self.into(x)
        return self.mlp(x) + (x if self.into is None else self.into.weight.sum() * x)


def test_between_transitions_the_lesser_part_of_a_chain_is_a_stream_where_nothing_else_is():
    torch.manual_seed(0)
    x = torch.randn(2, 5, 4)
    model = Stack(Widens(4, 4), Widens(4, 6), Widens(6, 8)).eval()
    lens = anylens.attach(model, x)
    assert [[block.path for block in stream.blocks] for stream in lens.anatomy.streams] == [["layers.0"]]
    check(lens, x).require()
