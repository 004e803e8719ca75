"""Rows straight from a running model, without a store."""

from collections.abc import Sequence
from typing import Any

from anylens.core.errors import StoreError
from anylens.core.seeding import seeded
from anylens.harvest.job import Job, samples_of
from anylens.harvest.positions import Positions
from anylens.lens import Lens
from anylens.store.rows import Rows


class Live:
    """Rows of one point, made by running the model when they are wanted: `Batches(Live(...), 4096, epochs=None)`.

    A block is an input. The inputs are run in the seeded order of the batches, each once an epoch, so that a training
    on them is resumed as exactly as one on a store.
    """

    def __init__(
        self, lens: Lens, data: Sequence[Any], *, point: str, positions: Positions = "all", **how: Any
    ) -> None:
        """Run the first input, to see how many rows an input gives.

        Args:
            lens: the lens.
            data: inputs, each a batch; a sequence, as they are run in any order.
            point: the point.
            positions: which positions become rows.
            **how: `steps`, `method` and `dtype`, as for `anylens.harvest`.

        Raises StoreError if there are no inputs.
        """
        if not hasattr(data, "__getitem__") or not len(data):
            raise StoreError("Rows of a running model need a sequence of inputs, at least one. Give a list.")
        self.job = Job.of(lens, point, positions=positions, **how)
        if len(self.job.points) != 1:
            raise StoreError(
                f"{point} stands for {len(self.job.points)} points. Rows of a running model are of one."
            )
        self.data = data
        given = self.job.arguments(data[0])
        self._samples = samples_of(given)
        self._held = 0, self._run(0)
        self.sizes = [len(self._held[1])] * len(data)
        self.width = self._held[1].values.shape[-1]

    def read(self, block: int, start: int, stop: int) -> Rows:
        """Return some rows of an input, run now unless it was the last one run.

        Raises StoreError if it does not give as many rows as the first input did.
        """
        if self._held[0] != block:
            self._held = block, self._run(block)
        rows = self._held[1]
        if len(rows) != self.sizes[block]:
            raise StoreError(
                f"Input {block} gives {len(rows)} rows, and the first gave {self.sizes[block]}. Give inputs that give "
                "equally many, or harvest them into a folder."
            )
        return rows[start:stop]

    def expect(self, blocks: Sequence[int]) -> None:
        """Do nothing: an input is run when its rows are wanted."""

    def _run(self, block: int) -> Rows:
        given = self.job.arguments(self.data[block])
        with seeded(block):
            return self.job.rows(given, first=block * self._samples)[self.job.points[0].name]
