"""Batches: every row once an epoch, well mixed, in bounded memory, and the same again from a place."""

import pytest
import torch

from anylens.core.errors import StoreError
from anylens.store.batches import Batches
from anylens.store.reader import InMemory


class Blocks(InMemory):
    BLOCK = 40


def source(count=1000, width=2):
    values = torch.arange(count)[:, None].float().expand(count, width)
    return Blocks(values)


@pytest.mark.parametrize("size", [1, 7, 64, 999, 1000, 3000])
@pytest.mark.parametrize("mixing", [1, 50, 400, 5000])
def test_every_row_comes_once_an_epoch(size, mixing):
    batches = Batches(source(), size, mixing=mixing, epochs=2)
    seen = list(batches)
    assert all(torch.equal(rows.values[:, 0], rows.sample.float()) for rows in seen)
    numbers = torch.cat([rows.sample for rows in seen])
    assert len(numbers) == 2000
    assert sorted(numbers[:1000].tolist()) == sorted(numbers[1000:].tolist()) == list(range(1000))
    sizes = {len(rows) for rows in seen}
    assert sizes <= {min(size, 1000), 1000 % size or size}


def test_the_last_batch_can_be_left_out():
    sizes = [len(rows) for rows in Batches(source(), 64, drop_last=True)]
    assert sizes == [64] * 15


def test_rows_are_mixed_and_a_seed_gives_one_order():
    orders = [
        torch.cat([rows.sample for rows in Batches(source(), 50, mixing=200, seed=seed)])
        for seed in (0, 0, 1)
    ]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    moved = (orders[0][1:] - orders[0][:-1]).abs().float()
    assert moved.median() > 50  # neighbours in the store are no neighbours in a batch
    firsts = orders[0][:50]
    assert len({int(n) // 40 for n in firsts}) >= 4  # several blocks in the first batch
    epochs = list(Batches(source(), 1000, epochs=2))
    assert not torch.equal(epochs[0].sample, epochs[1].sample)


@pytest.mark.parametrize("after", [0, 1, 13, 19, 20, 33])
def test_the_same_batches_follow_from_a_place(after):
    batches = Batches(source(), 50, mixing=170, seed=3, epochs=3)
    way = iter(batches)
    for _ in range(after):
        next(way)
    place = batches.place()
    wanted = [rows.sample for rows in way]
    again = Batches(source(), 50, mixing=170, seed=3, epochs=3)
    again.go_to(place)
    found = list(again)
    assert all(torch.equal(one, rows.sample) for one, rows in zip(wanted, found, strict=True))
    assert all(torch.equal(rows.values[:, 0], rows.sample.float()) for rows in found)


def test_memory_is_that_of_the_buffer():
    batches = Batches(source(), 10, mixing=100)
    next(iter(batches))
    assert len(batches._buffer) == 100


def test_what_cannot_be_gone_through():
    with pytest.raises(StoreError, match="0 rows"):
        Batches(InMemory(torch.zeros(0, 3)), 4)
    with pytest.raises(StoreError, match="batches of 0"):
        Batches(source(), 0)
    with pytest.raises(StoreError, match="a buffer of 100 rows"):
        Batches(source(), 10, mixing=50).go_to(Batches(source(), 10, mixing=100).place())
