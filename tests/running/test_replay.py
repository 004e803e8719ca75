"""Runs that begin where another has been: what is answered, what is not, and that nothing is left behind."""

import threading

import pytest
import torch
from torch import nn

from anylens.core.errors import RunMismatchError
from anylens.running.replay import Answering, Record, copied, items_of


class Block(nn.Module):
    """Adds a linear map; counts how often it ran."""

    def __init__(self, width=4, gives=tuple):
        super().__init__()
        self.map, self.ran, self.gives = nn.Linear(width, width), 0, gives

    def forward(self, x):
        self.ran += 1
        return self.gives([x + self.map(x), None])


class Heir(Block):
    """Its forward calls that of its base."""

    def forward(self, x):
        return super().forward(x)


class Model(nn.Module):
    """A chain of blocks, of which one is called twice."""

    def __init__(self, *blocks, order=None):
        super().__init__()
        self.blocks = nn.ModuleList(blocks or [Block(), Heir(), Block()])
        self.order = order or list(range(len(self.blocks)))
        self.between = []

    def forward(self, x):
        for number in self.order:
            for act in self.between:
                act(number)
            x = self.blocks[number](x)[0]
        return x


def same(call):
    return copied(call.output)


def recorded(model, x):
    """A record with a mark before each block, and the output."""
    record, marks = Record(items_of(model)), []
    model.between = [lambda number: marks.append(record.mark())]
    with record.recording():
        output = model(x)
    model.between = []
    return record, marks, output


def ran(model):
    counts = [block.ran for block in model.blocks]
    for block in model.blocks:
        block.ran = 0
    return counts


@pytest.fixture
def x():
    return torch.randn(2, 4)


@torch.no_grad()
def test_calls_before_a_moment_are_answered_and_the_others_run(x):
    model = Model()
    record, marks, output = recorded(model, x)
    assert ran(model) == [1, 1, 1]
    for number, until in enumerate(marks):
        with Answering(record, until, same).under_way() as answers:
            assert torch.equal(model(x), output)
        assert ran(model) == [0] * number + [1] * (3 - number)
        assert answers.answered == number


@torch.no_grad()
def test_a_block_called_twice_is_answered_call_by_call(x):
    model = Model(Block(), Block(), order=[0, 1, 0, 1])
    record, marks, output = recorded(model, x)
    ran(model)
    with Answering(record, marks[3], same).under_way():
        assert torch.equal(model(x), output)
    assert ran(model) == [0, 1]


@torch.no_grad()
def test_what_is_answered_is_a_copy(x):
    model = Model()
    record, marks, output = recorded(model, x)
    handle = model.blocks[0].register_forward_hook(lambda m, args, out: (out[0] * 0, None))
    with Answering(record, marks[1], same).under_way():
        changed = model(x)  # the hook of an answered block is called, and changes what it gave
    handle.remove()
    assert not torch.allclose(changed, output)
    with Answering(record, marks[1], same).under_way():
        assert torch.equal(model(x), output)


@torch.no_grad()
def test_other_threads_and_other_models_run_as_they_are(x):
    model, other = Model(), Model()
    expected = other(x)
    record, marks, _ = recorded(model, x)
    ran(model), ran(other)
    with Answering(record, marks[2], lambda call: (torch.zeros(2, 4), None)).under_way():
        assert torch.equal(other(x), expected)
        thread = threading.Thread(target=lambda: torch.no_grad()(model)(x))
        thread.start()
        thread.join()
    assert ran(model) == ran(other) == [1, 1, 1]


@torch.no_grad()
def test_nothing_is_left_behind(x):
    before, model = Block.forward, Model()
    record, marks, _ = recorded(model, x)
    with pytest.raises(ZeroDivisionError), Answering(record, marks[2], lambda call: 1 / 0).under_way():
        model(x)
    assert Block.forward is before
    assert all("forward" not in vars(module) for module in model.modules())


@torch.no_grad()
def test_a_run_that_goes_another_way_is_refused(x):
    model = Model()
    record, marks, _ = recorded(model, x)
    model.order = [2, 1, 0]
    with pytest.raises(RunMismatchError, match="resume=False"), Answering(record, marks[2], same).under_way():
        model(x)


@torch.no_grad()
def test_what_cannot_be_copied_runs_itself(x):
    odd = Block(gives=lambda out: (out[0], object()))
    own = Block()
    own.forward = lambda value, forward=own.forward: forward(value)  # in the module itself: not to be asked
    model = Model(odd, own, Block())
    record, marks, output = recorded(model, x)
    ran(model)
    with Answering(record, marks[2], same).under_way():
        assert torch.equal(model(x), output)
    assert ran(model) == [1, 1, 1]


@torch.no_grad()
def test_only_outer_calls_are_kept_where_nothing_is_marked_inside(x):
    class Stage(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([Block(), Block()])

        def forward(self, x):
            for block in self.blocks:
                x = block(x)[0]
            return (x,)

    model = Model(Stage(), Stage())
    record = Record(items_of(model))
    with record.recording():
        model(x)
        record.mark()
    assert [type(call.module).__name__ for call in record.calls if call.kept] == ["Stage", "Stage"]
    assert len(record.calls) == 6
