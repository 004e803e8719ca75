"""Watching leaves the model and the arguments as they were."""

import random

import numpy as np
import torch
from torch import nn

import anylens
from tests import models


def test_running_statistics_in_training_stay():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    anylens.attach(model, torch.randn(2, 3, 8, 8))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_cache_among_the_arguments_is_not_filled():
    from transformers import DynamicCache

    model, example = models.llama()
    cache = DynamicCache()
    lens = anylens.attach(model)
    given = {**example, "past_key_values": cache}
    out, found = lens.run_with_cache(given, points="blocks.0.hook_resid_post")
    assert cache.get_seq_length() == models.POSITIONS
    assert torch.equal(out.logits, model(**example).logits)


def test_the_random_state_stays():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).train()
    torch.manual_seed(5)
    anylens.attach(model, torch.ones(2, 4))
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))


class Table(nn.Module):
    """Makes a table in its first forward and keeps it."""

    def __init__(self):
        super().__init__()
        self.table = None

    def forward(self, x):
        if self.table is None:
            self.table = torch.ones(4).cumsum(0)
        return x * self.table


def test_what_is_done_only_once_gives_no_points():
    x = torch.randn(2, 4)
    lens = anylens.attach(Table(), x)
    assert not [name for name in lens.points.ops if "cumsum" in name]
    lens.run_with_cache(x, points="op.mul.0.*")


class Chance(nn.Module):
    """Draws from Python's and numpy's random numbers."""

    def forward(self, x):
        return x * random.random() + float(np.random.rand())


def test_the_random_states_of_python_and_numpy_stay():
    random.seed(3), np.random.seed(3)
    anylens.attach(Chance(), torch.ones(2))
    after = (random.random(), np.random.rand())
    random.seed(3), np.random.seed(3)
    assert after == (random.random(), np.random.rand())
