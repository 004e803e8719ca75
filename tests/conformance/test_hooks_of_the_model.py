"""What a hook of the model's own computes before a module's forward belongs to whoever calls the module."""

import torch
from torch import nn

import anylens
from anylens.conformance import check


def model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6)).eval()
    for linear in (model[0], model[2]):
        direction = torch.randn(6, 6)
        del linear.weight

        def weigh(module, args, direction=direction):
            module.weight = torch.nn.functional.normalize(direction * 2.0)

        linear.register_forward_pre_hook(weigh)
    return model


def test_the_witness_counts_it_where_the_lens_does():
    x = torch.randn(3, 6)
    lens = anylens.attach(model(), x)
    assert {"op.normalize.0.hook_in", "op.normalize.1.hook_out"} <= set(lens.points.ops)
    report = check(lens, x, checks=["values", "edits-native", "fires-once", "read-only"])
    report.require()
