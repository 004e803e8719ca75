"""The training loop learns, repeats itself, reports, and stops when it diverges."""

import itertools
import math

import pytest
import torch
from torch import nn

from anylens.core.errors import ZooError
from anylens.zoo.train.loop import Plan, fit, progress_line, rate_at

TRUTH = torch.tensor([[1.0, -2.0, 0.5]])


def linear_problem(plan, *, report=lambda line: None):
    model = nn.Linear(3, 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)

    def loss_at(step):
        x = torch.randn(32, 3)
        return ((model(x) - x @ TRUTH.T) ** 2).mean()

    return model, fit(model, loss_at, plan, report=report)


def test_it_finds_the_weights_of_a_linear_problem():
    plan = Plan(steps=300, learning_rate=0.05, warmup=10, weight_decay=0.0)
    model, outcome = linear_problem(plan)
    assert torch.allclose(model.weight, TRUTH, atol=0.05)
    assert outcome.losses[-1] < outcome.losses[0] / 100
    assert not model.training


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    weights = [linear_problem(Plan(steps=20, warmup=2, seed=seed))[0].weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_rate_climbs_to_its_peak_and_falls_to_zero():
    plan = Plan(steps=100, learning_rate=0.5, warmup=10)
    rates = [rate_at(step, plan) for step in range(100)]
    assert max(rates) == rates[9] == rates[10] == 0.5
    assert rates[0] == pytest.approx(0.05)
    assert all(before > after for before, after in itertools.pairwise(rates[10:]))
    assert rates[-1] < 0.001


def test_every_stretch_of_steps_is_reported_and_so_is_the_last():
    lines = []
    _, outcome = linear_problem(Plan(steps=25, warmup=2, report_every=10), report=lines.append)
    assert [line.split()[1] for line in lines] == ["10/25", "20/25", "25/25"]
    assert len(outcome.losses) == 3


def test_progress_tells_speed_and_the_time_that_is_left():
    line = progress_line(100, Plan(steps=400), loss=0.25, seconds=50)
    assert line == "step 100/400  loss 0.2500  2.00 steps/s  2.5 min left"


def test_a_loss_that_is_no_number_stops_the_training():
    model = nn.Linear(1, 1)
    with pytest.raises(ZooError, match="the loss is nan at step 3"):
        fit(
            model,
            lambda step: model.weight.sum() * (math.nan if step == 3 else 1.0),
            Plan(steps=10, warmup=0),
            report=lambda line: None,
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"steps": 0}, "steps is 0"), ({"steps": 10, "warmup": 10}, "warmup is 10")],
)
def test_an_impossible_plan_is_refused(settings, message):
    with pytest.raises(ZooError, match=message):
        Plan(**settings)


def test_the_averaged_weights_lie_between_those_of_the_last_steps():
    plan = {"steps": 60, "warmup": 2, "learning_rate": 0.05}
    last, _ = linear_problem(Plan(**plan))
    averaged, _ = linear_problem(Plan(**plan, average=0.9))
    barely, _ = linear_problem(Plan(**plan, average=1e-9))
    assert torch.allclose(barely.weight, last.weight)
    assert not torch.equal(averaged.weight, last.weight)
    assert torch.allclose(averaged.weight, last.weight, atol=0.5)
