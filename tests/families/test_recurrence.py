"""States of a recurrence: an edit is what it says, flows into later states, and gradients follow it."""

import pytest
import torch

from anylens.families.recurrence import Recurrence

DECAY, LENGTH = 0.5, 6


@pytest.fixture
def drive():
    return torch.randn(2, LENGTH, 3, dtype=torch.float64, requires_grad=True)


def made(drive):
    return Recurrence(torch.zeros(2, 3, dtype=drive.dtype), lambda s, at: DECAY * s + drive[:, at], LENGTH)


def flowed(drive, at, value):
    """The states with one of them set, written out."""
    state, states = torch.zeros(2, 3, dtype=drive.dtype), []
    for position in range(LENGTH):
        state = DECAY * state + drive[:, position]
        state = value if position == at else state
        states.append(state)
    return torch.stack(states, 1)


def test_states_follow_from_each_other(drive):
    states = made(drive).states
    assert torch.equal(states[:, 0], drive[:, 0])
    assert torch.equal(states[:, 4], DECAY * states[:, 3] + drive[:, 4])


def test_an_edit_at_one_position_flows_on(drive):
    scan = made(drive)
    new = scan.states.clone()
    new[:, 2] = 7.0
    assert torch.equal(scan.edited(new), flowed(drive, 2, torch.full((2, 3), 7.0, dtype=drive.dtype)))


def test_an_edit_of_one_feature_leaves_the_others_to_flow(drive):
    scan = made(drive)
    new = scan.states.clone()
    new[:, 1, 0] = 5.0
    new[:, 3, 1] = 6.0
    states = scan.edited(new)
    assert (states[:, 1, 0] == 5.0).all()
    assert (states[:, 3, 1] == 6.0).all()
    assert torch.equal(states[:, 3, 0], DECAY * (DECAY * states[:, 1, 0] + drive[:, 2, 0]) + drive[:, 3, 0])
    assert torch.equal(states[..., 2], made(drive).states[..., 2])


def test_an_edit_everywhere_is_what_it_says(drive):
    new = torch.randn(2, LENGTH, 3, dtype=drive.dtype)
    assert torch.equal(made(drive).edited(new), new)


def test_a_second_edit_sees_the_first_and_keeps_it(drive):
    scan = made(drive)
    first = scan.states.clone()
    first[:, 1] = 2.0
    second = scan.edited(first).clone()
    second[:, 3] = second[:, 3] + 1
    states = scan.edited(second)
    assert (states[:, 1] == 2.0).all()
    assert torch.equal(states[:, 4], DECAY * states[:, 3] + drive[:, 4])


def test_nothing_changed_is_nothing_run_again(drive):
    scan = made(drive)
    before = scan.states
    assert scan.edited(before.clone()) is before


def test_not_a_number_stays_where_it_is(drive):
    scan = Recurrence(torch.zeros(2, 3), lambda s, at: s + (torch.nan if at == 2 else 1.0), LENGTH)
    before = scan.states
    assert scan.edited(before.clone()) is before


def test_the_gradient_at_a_state_is_that_of_all_that_follows(drive):
    scan = made(drive)
    copy = scan.states.detach().requires_grad_()
    scan.followed(copy.clone())[:, -1].sum().backward()
    own = DECAY ** torch.arange(LENGTH - 1, -1, -1, dtype=drive.dtype)
    torch.testing.assert_close(copy.grad[0, :, 0], own)
    torch.testing.assert_close(drive.grad[0, :, 0], own)  # what came before counts once


def test_the_gradient_of_an_edit_passes_through_it(drive):
    scan = made(drive)
    vector = torch.ones(3, dtype=drive.dtype, requires_grad=True)
    new = scan.states.clone()
    new = torch.cat([new[:, :2], 3 * new[:, 2:3] + vector, new[:, 3:]], 1)
    scan.edited(new)[0, 4].sum().backward()
    torch.testing.assert_close(vector.grad, torch.full((3,), DECAY**2, dtype=drive.dtype))
    torch.testing.assert_close(drive.grad[0, 1], torch.full((3,), 3 * DECAY**3, dtype=drive.dtype))
