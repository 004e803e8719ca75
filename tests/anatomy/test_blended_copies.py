"""Hyper-connections: a stream of several copies, which learned squares blend before anything is added to them."""

import torch
from torch import nn

import anylens
from anylens.conformance import check

COPIES, WIDTH = 3, 6


class Blend(nn.Module):
    """Weights by which copies are taken, given back and blended, and what is taken: [batch, pos, d_model]."""

    def __init__(self):
        super().__init__()
        self.weigh = nn.Linear(COPIES * WIDTH, (2 + COPIES) * COPIES)

    def forward(self, x):
        take, give, square = self.weigh(x.flatten(2)).split([COPIES, COPIES, COPIES**2], -1)
        square = square.unflatten(-1, (COPIES, COPIES)).softmax(-1)
        return give.sigmoid(), square, (take.sigmoid().unsqueeze(-1) * x).sum(2)


class Block(nn.Module):
    def __init__(self, *, weighs_positions=False, blends=True):
        super().__init__()
        self.blend, self.blends = Blend(), blends
        self.up, self.down = nn.Linear(WIDTH, 10), nn.Linear(10, WIDTH)
        self.weighs_positions = weighs_positions

    def forward(self, x):
        give, square, taken = self.blend(x)
        written = self.down(torch.relu(self.up(taken)))
        if self.weighs_positions:
            square = (x @ x.transpose(-1, -2)).softmax(-1)
        kept = torch.matmul(square, x) if self.blends else x
        return give.unsqueeze(-1) * written.unsqueeze(-2) + kept


class Model(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.embed, self.head = nn.Embedding(9, WIDTH), nn.Linear(WIDTH, 4)
        self.layers = nn.ModuleList(Block(**options) for _ in range(2))

    def forward(self, tokens):
        x = self.embed(tokens).unsqueeze(2).repeat(1, 1, COPIES, 1)
        for layer in self.layers:
            x = layer(x)
        return self.head(x.sum(2))


def attached(**options):
    torch.manual_seed(0)
    tokens = torch.randint(9, (2, 5))
    return tokens, anylens.attach(Model(**options).eval(), tokens)


def test_copies_of_a_stream_are_blended_and_added_to():
    tokens, lens = attached()
    assert [stream.axes for stream in lens.anatomy.streams] == [("batch", "pos", "copy", "d_model")]
    names = [f"blocks.1.hook_{name}" for name in ("resid_carried", "mlp_out", "resid_post")]
    _, cache = lens.run_with_cache(tokens, points=[*names, "blocks.1.mlp.hook_post"])
    carried, written, after = (cache[name] for name in names)
    assert torch.equal(carried + written, after)
    assert cache["blocks.1.mlp.hook_post"].shape == (2, 5, 10)
    assert lens.points["blocks.1.mlp.hook_post"].axes == ("batch", "pos", "d_mlp")
    check(lens, tokens).require()


def test_copies_that_are_written_to_and_not_blended_are_copies_too():
    tokens, lens = attached(blends=False)
    assert [stream.axes for stream in lens.anatomy.streams] == [("batch", "pos", "copy", "d_model")]
    assert lens.points["blocks.0.mlp.hook_post"].axes == ("batch", "pos", "d_mlp")
    check(lens, tokens).require()


def test_a_square_that_is_a_product_itself_blends_no_copies():
    _, lens = attached(weighs_positions=True)
    assert not any("copy" in stream.axes for stream in lens.anatomy.streams)
