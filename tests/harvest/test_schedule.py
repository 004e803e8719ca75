"""Every block is done once, whatever happens to who is at it."""

import pytest

from anylens.core.errors import StoreError
from anylens.harvest.schedule import Rules, Schedule


def test_blocks_are_given_in_order_and_counted_once():
    schedule = Schedule([3, 1, 2])
    one, two = schedule.next(0, 0.0), schedule.next(1, 0.0)
    assert (one.block, two.block) == (1, 2)
    assert schedule.finished(one, 1.0)
    assert not schedule.finished(one, 1.5)
    assert (schedule.left, schedule.doubled, schedule.done) == (2, 1, False)
    assert schedule.next(0, 2.0).block == 3


def test_the_slowest_is_doubled_once_nothing_else_is_left():
    schedule = Schedule(range(3), rules=Rules(slow=2.0))
    held, quick = schedule.next(0, 0.0), schedule.next(1, 0.0)
    assert schedule.finished(quick, 1.0)
    third = schedule.next(1, 1.0)
    assert third.block == 2  # before any is doubled
    assert schedule.next(2, 1.5) is None  # it may yet come
    second = schedule.next(2, 2.5)
    assert second.block == held.block
    assert schedule.next(3, 9.0).block == 2  # the other one is slow too by now
    assert schedule.next(4, 9.0) is None  # two are at each
    assert schedule.finished(second, 10.0)
    assert not schedule.finished(held, 11.0)
    assert schedule.finished(third, 11.0)
    assert schedule.done


def test_a_worker_is_not_given_its_own_block_again():
    schedule = Schedule(range(2))
    assert schedule.finished(schedule.next(0, 0.0), 1.0)
    schedule.next(0, 1.0)
    assert schedule.next(0, 50.0) is None


def test_what_is_lost_comes_back_and_is_given_up_in_the_end():
    schedule = Schedule([7], rules=Rules(tries=3))
    for _ in range(2):
        attempt = schedule.next(0, 0.0)
        schedule.failed(attempt, "killed.")
    attempt = schedule.next(1, 0.0)
    assert attempt.block == 7
    with pytest.raises(StoreError, match="Block 7 failed 3 times.*killed"):
        schedule.failed(attempt, "killed.")
    assert schedule.lost == 3


def test_a_loss_after_somebody_else_was_done_is_none():
    schedule = Schedule(range(2))
    slow = schedule.next(0, 0.0)
    assert schedule.finished(schedule.next(1, 0.0), 1.0)
    assert schedule.finished(schedule.next(1, 5.0), 6.0)
    schedule.failed(slow, "killed.")
    assert schedule.done
