"""Grids: labels, shares, the strongest cells, figures, xarray."""

import sys
from types import SimpleNamespace

import pytest
import torch

from anylens.analysis.grid import Grid
from anylens.core.errors import AxisError, MissingExtraError, RunError

COORDINATES = {"row": (0, 1), "layer": (0, 1), "pos": (0, (1, 2), (3, 5))}


@pytest.fixture
def grid():
    values = torch.arange(12.0).reshape(2, 2, 3)
    return Grid(
        values, ("row", "layer", "pos"), COORDINATES, torch.tensor([0.0, 6.0]), torch.tensor([10.0, 16.0])
    )


def test_effects_and_shares(grid):
    assert torch.equal(grid.effect[1], grid.effect[0])
    assert grid.recovered[0, 1, 2] == 0.5
    with pytest.raises(RunError, match="look at effect"):
        Grid(grid.values, grid.axes, COORDINATES, grid.base).recovered  # noqa: B018


def test_labels(grid):
    assert grid.at(layer=1, pos=(1, 2)).tolist() == [4.0, 10.0]
    assert grid.at(pos=0).shape == (2, 2)
    with pytest.raises(AxisError, match=r"no pos=7.*layer: \[0, 1\]"):
        grid.at(pos=7)
    with pytest.raises(AxisError, match="no head=1"):
        grid.at(head=1)
    assert grid.strongest(2) == [{"layer": 1, "pos": (3, 5)}, {"layer": 1, "pos": (1, 2)}]


def test_figures(grid):
    panel, bar = grid.plot().axes
    assert (panel.get_xlabel(), panel.get_ylabel(), bar.get_ylabel()) == ("pos", "layer", "recovered")
    assert [label.get_text() for label in panel.get_xticklabels()] == ["0", "1,2", "3,5"]
    torch.testing.assert_close(torch.as_tensor(panel.images[0].get_array().data), grid.recovered.mean(0))
    line = Grid(grid.values[:, :1], grid.axes, {**COORDINATES, "layer": (0,)}, grid.base).plot().axes[0]
    assert line.lines[0].get_ydata().tolist() == [0.0, 1.0, 2.0]
    four = Grid(torch.ones(1, 2, 2, 2), ("row", "a", "b", "c"), dict.fromkeys("abc", (0, 1)), torch.zeros(1))
    with pytest.raises(AxisError, match="shows two axes"):
        four.plot()


def test_as_xarray(grid, monkeypatch):
    made = SimpleNamespace(DataArray=lambda values, **more: (values, more))
    monkeypatch.setitem(sys.modules, "xarray", made)
    values, more = grid.to_xarray()
    assert values.shape == (2, 2, 3)
    assert more["dims"] == grid.axes
    assert more["coords"]["pos"] == [0, "(1, 2)", "(3, 5)"]
    assert more["attrs"] == {"base": [0.0, 6.0], "source": [10.0, 16.0]}
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises((MissingExtraError, ImportError), match="xarray"):
        grid.to_xarray()
