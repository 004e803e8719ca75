"""Streams that are scaled, written to between blocks, or run through blocks made of parts with names."""

import torch
from torch import nn

import anylens
from anylens.conformance import check


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(6, 12), nn.Linear(12, 6)

    def forward(self, x):
        return self.down(torch.relu(self.up(x)))


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Mlp(), Mlp()

    def forward(self, x):
        x = self.first(x) * 0.5 + x * 0.75
        return self.second(x) + x / 1.25


class Part(Mlp):
    def forward(self, x):
        return x + super().forward(x)


class OfParts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.crossattention, self.last = Part(), Part(), Mlp()

    def forward(self, x):
        x = self.crossattention(self.attention(x))
        return x + self.last(x)


class Model(nn.Module):
    def __init__(self, kind, *, between=False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(kind() for _ in range(3))
        self.between = between

    def forward(self, x):
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if self.between and number < 2:
                x[:, 1:3] = x[:, 1:3] + 0.5
        return x


def made(kind, **options):
    torch.manual_seed(0)
    model = Model(kind, **options).eval()
    x = torch.randn(2, 5, 6)
    return model, x, anylens.attach(model, x)


def test_a_stream_that_is_scaled_has_the_scaled_stream_as_points():
    _, x, lens = made(Scaled)
    names = [f"blocks.1.{name}" for name in (
        "hook_resid_pre", "hook_resid_carried[0]", "hook_mlp_out[0]", "hook_resid_mid", "hook_resid_carried[1]",
        "hook_mlp_out[1]", "hook_resid_post",
    )]  # fmt: skip
    _, cache = lens.run_with_cache(x, points=names)
    pre, scaled, one, mid, shrunk, other, post = (cache[name] for name in names)
    assert torch.equal(scaled, pre * 0.75)
    assert torch.equal(one + scaled, mid)
    assert torch.equal(shrunk, mid / 1.25)
    assert torch.equal(other + shrunk, post)
    check(lens, x).require()


def test_a_stream_that_is_not_scaled_says_so():
    _, _, lens = made(OfParts)
    assert "do not scale" in lens.points.why_absent("blocks.0.hook_resid_carried")


def test_parts_with_names_of_their_own_are_what_a_block_is_made_of():
    _, x, lens = made(OfParts)
    assert [(stream.prefix, len(stream.blocks)) for stream in lens.anatomy.streams] == [("", 3)]
    check(lens, x).require()


def test_a_model_may_write_into_the_stream_between_blocks():
    _, x, lens = made(Part, between=True)
    report = check(lens, x).require()
    assert "in place" in report["stream-hand-over"].notes[0]
    _, cache = lens.run_with_cache(x, points=["blocks.0.hook_resid_post", "blocks.1.hook_resid_pre"])
    before, after = cache.values()
    assert torch.equal(after[:, 1:3], before[:, 1:3] + 0.5)
    assert torch.equal(after[:, :1], before[:, :1])
