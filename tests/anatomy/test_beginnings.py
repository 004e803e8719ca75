"""What stands before the first block: sums of look-ups, positions without a batch; and lists that are no stream."""

import torch
from torch import nn

import anylens


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.maps = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, stream):
        return stream + self.maps(stream)


class Codebooks(nn.Module):
    """Embeds several tokens a position by the sum of their look-ups, adds positions, and runs two blocks."""

    def __init__(self, positions=True):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(11, 8) for _ in range(3))
        self.positions = nn.Embedding(20, 8) if positions else None
        self.blocks = nn.ModuleList([Block(), Block()])

    def forward(self, codes):
        stream = sum(table(codes[:, index]) for index, table in enumerate(self.tables))
        if self.positions is not None:
            stream = stream + self.positions(torch.arange(codes.shape[-1]))
        for block in self.blocks:
            stream = block(stream)
        return stream


CODES = torch.randint(0, 11, (2, 3, 5), generator=torch.Generator().manual_seed(0))


def embedded(model):
    return sum(table(CODES[:, index]) for index, table in enumerate(model.tables)).detach()


def test_look_ups_in_one_input_are_the_embedding_together():
    model = Codebooks()
    lens = anylens.attach(model, CODES)
    _, cache = lens.run_with_cache(CODES, points=["hook_embed", "hook_pos_embed"])
    assert torch.equal(cache["hook_embed"], embedded(model))
    assert "hook_token_type_embed" not in lens.points.canonical
    assert cache.axes("hook_pos_embed") == ("pos", "d_model")
    assert torch.equal(cache["hook_pos_embed"], model.positions.weight[:5])


def test_so_they_are_without_positions():
    model = Codebooks(positions=False)
    _, cache = anylens.attach(model, CODES).run_with_cache(CODES, points="hook_embed")
    assert torch.equal(cache["hook_embed"], embedded(model))


class Quantised(nn.Module):
    """Embeds the codes of the nearest entries of a table."""

    def __init__(self):
        super().__init__()
        self.nearest = nn.Linear(6, 11)
        self.table = nn.Embedding(11, 8)
        self.blocks = nn.ModuleList([Block(), Block()])

    def forward(self, input):
        stream = self.table(self.nearest(input).argmax(-1))
        for block in self.blocks:
            stream = block(stream)
        return stream


def test_codes_that_were_computed_are_embedded_too():
    model, input = Quantised(), torch.randn(2, 5, 6)
    _, cache = anylens.attach(model, input).run_with_cache(input, points="hook_embed")
    assert torch.equal(cache["hook_embed"], model.table(model.nearest(input).argmax(-1)).detach())


class Shortcut(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(6, 6, 3, padding=1)

    def forward(self, value):
        return value + self.conv(value).relu()


class Plain(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv1d(width, 6, 3, padding=1)

    def forward(self, value):
        return self.conv(value).relu()


def test_one_shortcut_in_a_plain_list_is_no_stream():
    parts = nn.Sequential(Plain(4), Plain(6), Shortcut(), Plain(6), Plain(6))
    lens = anylens.attach(parts, torch.randn(2, 4, 9))
    assert not lens.anatomy.streams
    assert "2.hook_out" in lens.points


def test_a_block_that_stands_alone_is_one():
    lens = anylens.attach(nn.Sequential(nn.Linear(5, 8), Block()), torch.randn(2, 7, 5))
    assert [len(stream.blocks) for stream in lens.anatomy.streams] == [1]
