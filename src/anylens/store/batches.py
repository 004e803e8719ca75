"""Batches in a well-mixed order, in bounded memory, from a place that can be noted and gone back to.

Blocks come in a seeded order, anew in each epoch, and their rows pass through a mixing buffer: a batch takes the next
of the buffer's slots, in a random order of all slots, and the slots are filled with the rows that come next. Every row
is served exactly once an epoch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from anylens.core.errors import StoreError
from anylens.store.reader import Source
from anylens.store.rows import Rows, joined

READ_AT_ONCE = 65_536  # rows that are read together when a place is gone back to
FORESEEN = 8  # blocks that a source is told of


@dataclass(frozen=True)
class Place:
    """A place in the order of rows: plain numbers and tensors, fit for safetensors and JSON."""

    epoch: int
    taken: int  # rows of the epoch that have gone into the buffer
    served: int  # slots of the present order that were served
    slots: torch.Tensor  # [slot] the row in each, by its number in the epoch's order; -1 is none
    order: torch.Tensor  # [slot] in which the slots are served
    random: torch.Tensor  # the state of the random numbers


class Batches:
    """Goes through the rows of a source in batches of one size, epoch after epoch.

    Attributes:
        size: rows of a batch. The last batch of an epoch may be smaller; `drop_last` leaves it out.
        mixing: slots of the buffer, which bounds the memory.
    """

    def __init__(
        self,
        source: Source,
        size: int,
        *,
        seed: int = 0,
        epochs: int | None = 1,
        mixing: int = 65_536,
        drop_last: bool = False,
    ) -> None:
        self.source, self.size, self.seed, self.epochs = source, size, seed, epochs
        self.drop_last = drop_last
        self.total = sum(source.sizes)
        if self.total == 0 or size < 1:
            raise StoreError(f"There are {self.total} rows, for batches of {size}.")
        self.mixing = min(max(mixing, size), self.total)
        self.epoch = 0
        self._begin()

    # -- the order of an epoch -----------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        self._lay_out()
        self.taken = 0
        self._slots = torch.full((self.mixing,), -1, dtype=torch.int64)
        self._order = torch.empty(0, dtype=torch.int64)
        self._served = 0
        self._buffer: Rows | None = None
        self._fill(torch.arange(self.mixing))

    def _lay_out(self) -> None:
        """Lay the blocks out in the order of this epoch."""
        self._blocks = self._order_of(self.epoch)
        sizes = torch.tensor([self.source.sizes[block] for block in self._blocks])
        self._ends = torch.cumsum(sizes, 0)
        self._told = -1

    def _order_of(self, epoch: int) -> list[int]:
        random = torch.Generator().manual_seed(self.seed + 7919 * epoch)
        shuffled: list[int] = torch.randperm(len(self.source.sizes), generator=random).tolist()
        return shuffled

    def _expect(self, place: int) -> None:
        """Tell the source which blocks come next, those of the next epoch too."""
        if place != self._told:
            self._told = place
            coming = self._blocks[place : place + FORESEEN]
            if len(coming) < FORESEEN and (self.epochs is None or self.epoch + 1 < self.epochs):
                coming += [one for one in self._order_of(self.epoch + 1) if one not in coming]
            self.source.expect(coming[:FORESEEN])

    def _read(self, start: int, stop: int) -> Rows:
        """Return rows by their numbers in the epoch's order."""
        parts, at = [], start
        while at < stop:
            place = int(torch.searchsorted(self._ends, at, right=True))
            first = int(self._ends[place]) - self.source.sizes[self._blocks[place]]
            upto = min(stop, int(self._ends[place]))
            self._expect(place)
            parts.append(self.source.read(self._blocks[place], at - first, upto - first))
            at = upto
        return joined(parts)

    def _fill(self, slots: torch.Tensor) -> None:
        """Put the rows that come next into slots; slots for which there is none are empty."""
        count = min(len(slots), self.total - self.taken)
        filled, empty = slots[:count], slots[count:]
        self._slots[empty] = -1
        if not count:
            return
        rows = self._read(self.taken, self.taken + count)
        if self._buffer is None:
            self._buffer = _room_for(rows, self.mixing)
        self._put(filled, rows)
        self._slots[filled] = torch.arange(self.taken, self.taken + count)
        self.taken += count

    def _put(self, slots: torch.Tensor, rows: Rows) -> None:
        assert self._buffer is not None
        self._buffer.values[slots] = rows.values
        self._buffer.sample[slots] = rows.sample
        self._buffer.where[slots] = rows.where

    # -- serving -------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Rows]:
        while self.epochs is None or self.epoch < self.epochs:
            rows = self._next()
            if rows is None:
                self.epoch += 1
                if self.epochs is None or self.epoch < self.epochs:
                    self._begin()
            elif len(rows) == self.size or not self.drop_last:
                yield rows

    def _next(self) -> Rows | None:
        """Return the next batch of the epoch, or None at its end."""
        assert self._buffer is not None
        parts: list[Rows] = []
        missing = self.size
        while missing:
            if self._served >= len(self._order):
                held = (self._slots >= 0).nonzero().flatten()
                if not len(held):
                    break
                self._order = held[torch.randperm(len(held), generator=self._random)]
                self._served = 0
            slots = self._order[self._served : self._served + missing]
            self._served += len(slots)
            missing -= len(slots)
            parts.append(self._buffer[slots])
            self._fill(slots)
        return joined(parts) if parts else None

    # -- place ---------------------------------------------------------------------------------------------------

    def place(self) -> Place:
        """Return the present place, to be kept with a checkpoint."""
        return Place(
            self.epoch,
            self.taken,
            self._served,
            self._slots.clone(),
            self._order.clone(),
            self._random.get_state(),
        )

    def go_to(self, place: Place) -> None:
        """Go on from a place that was noted with the same source, seed and sizes: the same batches follow."""
        if len(place.slots) != self.mixing:
            raise StoreError(
                f"The place is one in a buffer of {len(place.slots)} rows, and this one has {self.mixing}."
            )
        self.epoch, self.taken, self._served = place.epoch, place.taken, place.served
        self._slots, self._order = place.slots.clone(), place.order.clone()
        self._random = torch.Generator()
        self._random.set_state(place.random)
        self._lay_out()
        self._buffer = _room_for(self._read(0, 1), self.mixing)
        held = self._slots[self._slots >= 0]
        for start in range(int(held.min()) if len(held) else 0, self.taken, READ_AT_ONCE):
            stop = min(start + READ_AT_ONCE, self.taken)
            slots = ((self._slots >= start) & (self._slots < stop)).nonzero().flatten()
            self._put(slots, self._read(start, stop)[self._slots[slots] - start])


def _room_for(rows: Rows, count: int) -> Rows:
    """Return room for rows like these."""
    return Rows(
        rows.values.new_empty((count, *rows.values.shape[1:])),
        rows.sample.new_empty(count),
        rows.where.new_empty((count, *rows.where.shape[1:])),
        rows.axes,
    )
