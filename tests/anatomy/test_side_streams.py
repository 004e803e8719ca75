"""Streams beside each other: joined in a block, told apart by argument, ended by a skip or by what adds in between."""

import pytest
import torch
from torch import nn

import anylens
from anylens.anatomy.rename import rename
from anylens.conformance import check

WIDTH = 6


class Mixing(nn.Module):
    """Adds an MLP, scaled by a gate that is computed for the whole row."""

    def __init__(self, width=WIDTH):
        super().__init__()
        self.up, self.down, self.gate = nn.Linear(width, 9), nn.Linear(9, width), nn.Linear(width, width)

    def forward(self, x, beside=None):
        gate = self.gate(torch.tanh((x if beside is None else beside).mean(1)))
        return x + gate[:, None] * self.down(torch.relu(self.up(x)))


class Together(nn.Module):
    """Two rows of positions, put end to end, added to, and taken apart."""

    def __init__(self):
        super().__init__()
        self.mixing = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, left, right):
        both = torch.cat([left, right], 1)
        both = both + self.out(torch.relu(self.mixing(both)))
        return both[:, : left.shape[1]], both[:, left.shape[1] :]


class Apart(nn.Module):
    """Two rows of positions, each with what is added to it; the last block only reads the second."""

    def __init__(self, last):
        super().__init__()
        self.one, self.two, self.last = Mixing(), Mixing(), last

    def forward(self, left, right):
        return self.one(left, right), None if self.last else self.two(right)


class Beside(nn.Module):
    def __init__(self):
        super().__init__()
        self.separate = nn.ModuleList([Apart(False), Apart(False)])
        self.joined = nn.ModuleList([Together(), Together()])

    def forward(self, left, right):
        for block in self.separate:
            left, right = block(left, right)
        for block in self.joined:
            left, right = block(left, right)
        return left, right


class Skips(nn.Module):
    """Blocks down, an addition of another part between two of them, and blocks up that take skips."""

    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([Mixing() for _ in range(4)])
        self.between = nn.ModuleList([Mixing()])
        self.up = nn.ModuleList([Mixing(2 * WIDTH), Mixing(3 * WIDTH)])

    def forward(self, x):
        kept = []
        for number, block in enumerate(self.down):
            kept.append(x)
            x = block(x)
            if number == 1:
                x = self.between[0](x)
        for block in self.up:
            x = block(torch.cat([x, kept.pop()], -1))
        return x


class Rescaled(nn.Module):
    """Multiplies by what it computes, and adds: no sum holds."""

    def __init__(self):
        super().__init__()
        self.scale, self.shift = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return x * torch.exp(torch.tanh(self.scale(x))) + torch.tanh(self.shift(x))


@pytest.fixture
def beside() -> anylens.Lens:
    return anylens.attach(Beside().eval(), (torch.randn(2, 5, WIDTH), torch.randn(2, 3, WIDTH)))


def test_what_a_block_puts_end_to_end_is_one_stream(beside):
    prefixes = [stream.prefix for stream in beside.anatomy.streams]
    assert prefixes == ["separate", "separate.right", "joined"]
    left, right = torch.randn(2, 5, WIDTH), torch.randn(2, 3, WIDTH)
    points = [
        "joined.blocks.1.hook_resid_pre",
        "joined.blocks.1.hook_mlp_out",
        "joined.blocks.1.hook_resid_post",
    ]
    out, cache = beside.run_with_cache(left, right, points=points)
    before, written, after = (cache[name] for name in points)
    assert before.shape == (2, 8, WIDTH)
    assert torch.equal(before + written, after)
    assert torch.equal(torch.cat(out, 1), after)


def test_streams_beside_each_other_hold_to_the_contract(beside):
    given = (torch.randn(2, 5, WIDTH), torch.randn(2, 3, WIDTH))
    report = check(beside, given)
    assert report.ok, report.table()


def test_streams_beside_each_other_are_named_by_component_and_argument(beside):
    names = {"separate": "first", "joined": "second", "left": "picture", "right": "words"}
    new = rename(beside.anatomy, names)
    assert [stream.prefix for stream in new.streams] == ["first.picture", "first.words", "second"]
    assert rename(new, names) == new


def test_a_stream_ends_where_no_block_gives_it_out():
    model = nn.ModuleList([Apart(False), Apart(False), Apart(True)])

    class Run(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = model

        def forward(self, left, right):
            for block in self.blocks:
                left, right = block(left, right)
            return left

    lens = anylens.attach(Run().eval(), (torch.randn(2, 5, WIDTH), torch.randn(2, 3, WIDTH)))
    assert [len(stream.blocks) for stream in lens.anatomy.streams] == [3, 2]


def test_a_chain_ends_where_another_part_adds_and_where_a_skip_is_joined():
    given = torch.randn(2, 5, WIDTH)
    lens = anylens.attach(Skips().eval(), given)
    paths = [[block.path for block in stream.blocks] for stream in lens.anatomy.streams]
    assert paths == [["down.0", "down.1"], ["between.0"], ["down.2", "down.3"], ["up.0"], ["up.1"]]
    report = check(lens, given)
    assert report.ok, report.table()


def test_a_star_stands_for_any_one_word():
    anatomy = anylens.attach(Skips().eval(), torch.randn(2, 5, WIDTH)).anatomy
    new = rename(anatomy, {"up.*": "finer.*", "down": "coarser", "between": "bridge"})
    prefixes = [stream.prefix for stream in new.streams]
    assert prefixes[-2:] == ["finer.0", "finer.1"]
    assert prefixes[1] == "bridge"
    assert len(set(prefixes)) == 5
    assert all(prefix.startswith("coarser") for prefix in (prefixes[0], prefixes[2]))


def test_the_maps_of_an_mlp_are_told_from_those_of_its_gate():
    class Run(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([Mixing(), Mixing()])

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return x

    lens = anylens.attach(Run().eval(), torch.randn(2, 5, WIDTH))
    assert lens.points["blocks.0.mlp.hook_pre"].tap.path == "blocks.0.up"
    assert lens.points["blocks.0.mlp.hook_post"].shape == (2, 5, 9)


def test_what_is_rescaled_by_what_was_computed_is_no_stream():
    model = nn.Sequential(Rescaled(), Rescaled(), Rescaled()).eval()
    assert not anylens.attach(model, torch.randn(2, WIDTH)).anatomy.streams


def test_a_part_of_a_tensor_written_back_keeps_its_place_in_memory():
    class Halves(nn.Module):
        def forward(self, x):
            one, two = x.chunk(2, -1)
            return one.stride(), two * 1

    lens = anylens.attach(Halves(), torch.randn(3, 8))
    strides = []

    class Seen(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if getattr(func, "__name__", "") == "mul":
                strides.append(args[0].stride())
            return func(*args, **(kwargs or {}))

    with Seen():
        lens.run_with_hooks(torch.randn(3, 8), hooks={"op.chunk.0.hook_out[1]": lambda value, _: value + 1})
    assert strides == [(8, 1)]


class Mixer(nn.Module):
    """What is neither attention nor convolution, and then an MLP."""

    def __init__(self):
        super().__init__()
        self.across, self.mixing = nn.Linear(5, 5), Mixing()

    def forward(self, x):
        return self.mixing(x + self.across(x.mT).mT)


def test_sums_follow_the_order_in_which_a_block_writes():
    given = torch.randn(2, 5, WIDTH)
    lens = anylens.attach(nn.Sequential(Mixer(), Mixer()).eval(), given)
    assert lens.anatomy.streams[0].blocks[0].writes == ("mixer", "mlp")
    report = check(lens, given, checks=["stream-sums", "stream-removal"])
    assert report.ok, report.table()
