"""What cells share: blocks that need not run do not, and where that is not sure, every forward is whole."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import anylens
from anylens.analysis.metrics import region
from anylens.analysis.patching import patching_sweep
from anylens.analysis.sweeping import Settings, sweep
from tests.analysis.planted import planted


class Layer(nn.Module):
    """A block that adds what two maps make of the stream, and may do more."""

    def __init__(self, width=8, also=None):
        super().__init__()
        self.up, self.down, self.also, self.rows = (
            nn.Linear(width, 2 * width),
            nn.Linear(2 * width, width),
            also,
            0,
        )

    def forward(self, x, seen=None):
        self.rows += x.shape[self.also == "sequence"]
        if self.also == "list":
            seen.append(x.mean((1, 2), keepdim=True))
        if self.also == "batch":
            x = x - 0.1 * x.mean(0, keepdim=True)
        x = x + self.down(torch.relu(self.up(x)))
        return torch.nn.functional.dropout(x, 0.5) if self.also == "random" else x


class Net(nn.Module):
    """`[batch, pos, width]` to the same; one layer may stand for all, and the rows may lie behind the positions."""

    def __init__(self, also=None, tied=False):
        super().__init__()
        layer = Layer(also=also)
        self.layers = nn.ModuleList([layer] * 4 if tied else [layer, *(Layer(also=also) for _ in range(3))])
        self.also = also

    def forward(self, x):
        seen = []
        x = x.transpose(0, 1) if self.also == "sequence" else x
        for layer in self.layers:
            x = layer(x, seen)
        x = x.transpose(0, 1) if self.also == "sequence" else x
        return x + len(seen) * sum(seen) if seen else x


@pytest.fixture
def spied(monkeypatch):
    """The prefixes that sweeps find."""
    found, own = [], sweep.prefix_of
    monkeypatch.setattr(
        sweep, "prefix_of", lambda *args, **more: found.append(own(*args, **more)) or found[-1]
    )
    return found


def swept(model):
    torch.manual_seed(1)
    one, other = torch.randn(2, 2, 5, 8)
    lens = anylens.attach(model, example=one)
    points = "blocks.*.hook_resid_post"
    with torch.no_grad():
        grid = patching_sweep(lens, one, source=other, points=points, metric=region(-1, 0), over="")
        _, cache = lens.run_with_cache(other, points=points)
        expected = []
        for name in cache:
            torch.manual_seed(0)
            expected.append(
                region(-1, 0)(lens.run_with_hooks(one, hooks={name: anylens.set_to(cache[name])}))
            )
    return grid, torch.stack(expected, 1)


@pytest.mark.parametrize("also", [None, "list"])
def test_sweeps_share_what_is_sure(spied, also):
    model = Net(also)
    grid, expected = swept(model)
    torch.testing.assert_close(grid.values, expected, atol=1e-5, rtol=1e-5)
    assert spied[0].several
    assert bool(spied[0].answered) == (also is None)  # a list that each block adds to would be too short


def test_fewer_rows_go_through_early_blocks(spied):
    made = planted()
    lens = anylens.attach(made.model, example=made.clean)
    rows = [0, 0]

    def count(number):
        return lambda m, args: rows.__setitem__(number, rows[number] + len(args[0]))

    for resume in (True, False):
        rows[:] = 0, 0
        handles = [
            block.attn.register_forward_pre_hook(count(n)) for n, block in enumerate(made.model.blocks)
        ]
        patching_sweep(
            lens, made.clean, source=made.corrupted, points="blocks.1.hook_resid_pre", metric=region(-1, 0),
            settings=Settings(resume=resume),
        )  # fmt: skip
        for handle in handles:
            handle.remove()
        cells = made.clean.shape[1]
        assert rows[1] > 4 * 2  # cells
        assert (rows[0] < rows[1]) == resume
    assert cells


@pytest.mark.parametrize("also", ["batch", "random"])
def test_rows_that_are_not_each_by_themselves_go_one_cell_at_a_time(spied, also):
    grid, expected = swept(Net(also))
    assert not spied[0].several
    torch.testing.assert_close(grid.values, expected, atol=1e-5, rtol=1e-5)


def test_rows_behind_positions_are_found_where_they_are(spied):
    grid, expected = swept(Net("sequence"))
    torch.testing.assert_close(grid.values, expected, atol=1e-5, rtol=1e-5)


def test_one_layer_called_again_and_again(spied):
    grid, expected = swept(Net(tied=True))
    torch.testing.assert_close(grid.values, expected, atol=1e-5, rtol=1e-5)
    assert grid.values.shape == (2, 4)
    assert spied[0].answered


def test_points_inside_a_layer_that_is_called_again_are_told_apart():
    model = Net(tied=True)
    one, other = torch.randn(2, 2, 5, 8)
    lens = anylens.attach(model, example=one)
    points = "layers.0.up.calls.*.hook_out"
    grid = patching_sweep(
        lens, one, source=other, points=points, metric=region(-1, 0), over="", settings=Settings(rows=2)
    )
    _, cache = lens.run_with_cache(other, points=points)
    with torch.no_grad():
        expected = [
            region(-1, 0)(lens.run_with_hooks(one, hooks={name: anylens.set_to(cache[name])}))
            for name in cache
        ]
    assert len(expected) == 4
    torch.testing.assert_close(grid.values, torch.stack(expected, 1), atol=1e-5, rtol=1e-5)


def test_a_cell_that_puts_in_what_is_there_is_not_run(spied, monkeypatch):
    made = planted()
    lens = anylens.attach(made.model, example=made.clean)
    sizes, own = [], sweep._measured
    monkeypatch.setattr(sweep, "_measured", lambda *args: sizes.append(len(args[1])) or own(*args))
    grid = patching_sweep(
        lens,
        made.clean,
        source=made.corrupted,
        points="blocks.*.hook_resid_pre",
        metric=lambda out: out[:, -1, 0],
    )
    assert sum(sizes) < grid.values[0].numel()
    differs = (made.clean != made.corrupted).any(0).nonzero()[0, 0]
    assert (grid.effect[:, :, :differs] == 0).all()


def test_memory_decides_how_many_cells_go_together(monkeypatch):
    from anylens.analysis.sweeping import prefix

    model, sizes, own = Net(), [], sweep._measured
    monkeypatch.setattr(sweep, "_measured", lambda *args: sizes.append(len(args[1])) or own(*args))
    one, other = torch.randn(2, 1, 5, 8)
    lens = anylens.attach(model, example=one)
    how = {"source": other, "points": "blocks.*.hook_resid_post", "metric": region(-1, 0), "over": "pos"}
    roomy = patching_sweep(lens, one, **how)
    assert max(sizes) > 4
    for free, most in ((0, 1), (10**9, 20)):
        sizes.clear()
        monkeypatch.setattr(prefix, "free_bytes", lambda device, free=free: free)
        grid = patching_sweep(lens, one, **how)
        assert 1 <= max(sizes) <= most
        torch.testing.assert_close(grid.values, roomy.values, atol=1e-6, rtol=1e-6)
    sizes.clear()
    patching_sweep(lens, one, **how, settings=Settings(rows=3))
    assert max(sizes) == 3


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([0] * 12 + [1] * 9, [[0] * 10, [0] * 2 + [1] * 6, [1] * 3]),  # the few that are left over are joined
        ([1] * 8 + [0] * 9, [[0] * 9, [1] * 8]),  # enough for a forward that begins later
        ([0, 1, 2, 3], [[0, 1, 2, 3]]),
    ],
)
def test_chunks_begin_anew_where_enough_cells_can_skip_more(layers, expected):
    base = SimpleNamespace(until=lambda cells: cells[0])
    found = list(sweep.chunks(layers, SimpleNamespace(cells=10, base=base)))
    assert [[layers[number] for number in chunk] for chunk in found] == expected
    assert sorted(itertools.chain(*found)) == list(range(len(layers)))
