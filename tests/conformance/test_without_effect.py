"""Edits that cannot show: the check says so of the model's own doing, and of nothing else."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import anylens
from anylens.conformance import Sampling, check
from tests.conformance.planted import lens_on, only

FEW = Sampling(native=2, ops=2, alone=4, blocks=2)
CHECKS = ["edits", "attention", "attention-reach", "order", "order-within"]


@pytest.fixture(autouse=True)
def _one_thread(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYLENS_CACHE", str(tmp_path))


class Block(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x, memory):
        def heads(value):
            return value.unflatten(-1, (2, -1)).transpose(1, 2)

        z = F.scaled_dot_product_attention(heads(self.q(x)), heads(self.k(memory)), heads(self.v(memory)))
        return x + self.out(z.transpose(1, 2).flatten(2))


class Model(nn.Module):
    def __init__(self, keys, scale=1.0):
        super().__init__()
        self.layers = nn.ModuleList([Block(), Block()])
        self.keys = keys
        with torch.no_grad():
            for layer in self.layers:
                layer.v.weight.mul_(scale)
                layer.v.bias.zero_()

    def forward(self, x):
        for layer in self.layers:
            x = layer(x, x[:, : self.keys])
        return x


def made(**settings):
    torch.manual_seed(0)
    return Model(**settings), torch.randn(2, 5, 8)


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"keys": 1}, "all hold the same value"), ({"keys": 4, "scale": 1e-12}, "leaves the output as it is")],
)
def test_what_cannot_show_is_a_dead_end(settings, why):
    model, example = made(**settings)
    report = check(anylens.attach(model, example), example, sampling=FEW, checks=CHECKS).require()
    said = {note.split()[2]: note for note in report["edits"].notes if note.startswith("dead end")}
    assert any(name.endswith("hook_q") and why in note for name, note in said.items())
    assert not any(name.endswith(("hook_z", "hook_v", "hook_attn_out")) for name in said)


def test_attention_that_acts_has_no_dead_end():
    model, example = made(keys=4)
    report = check(anylens.attach(model, example), example, sampling=FEW, checks=CHECKS).require()
    assert not any(note.startswith("dead end") for note in report["edits"].notes)


def test_a_query_whose_edits_are_lost_is_found_where_its_attention_acts():
    def lost(point):
        return replace(point, tap=replace(point.tap, side="out", slot=0), layout=None)

    lens, example = lens_on(made(keys=4), only("attn.hook_q", lost))
    report = check(lens, example, sampling=FEW, checks=["edits", "attention", "attention-reach", "axes"])
    assert not report.ok
