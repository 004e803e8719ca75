"""What the processes of test_ranks.py do: the trainings that are compared, in this process or in several."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from anylens.core.errors import LoadError, SaeError
from anylens.sae import Settings, leads, make, save, train
from anylens.sae.checkpoint import CHECKPOINT
from anylens.sae.ranks.group import Group
from anylens.sae.ranks.selection import among_columns, count_among
from anylens.store.batches import Batches
from anylens.store.reader import InMemory
from tests.sae.test_train import rows

SETTINGS = {
    "topk": {"k": 30},  # more than a rank has of the 49 latents
    "batchtopk": {"k": 4},
    "matryoshka": {"k": 4},
    "standard": {"l1": 0.3},
    "jumprelu": {"l0": 0.05, "bandwidth": 0.5},
    "gated": {"l1": 1.0},
}
HALF = 8
HOW = Settings(steps=16, lr=4e-3, dead_after=900, save_every=4, log_every=1)


@dataclass(frozen=True)
class Case:
    """A training in float64, with latents, rows of a batch and last batches that two do not divide."""

    variant: str
    parallel: str = "data"

    @property
    def name(self):
        return f"{self.variant}-{self.parallel}"

    def run(self, folder, *, epochs=None):
        sae = make(self.variant, 8, 49, **SETTINGS[self.variant]).double()
        with torch.no_grad():
            sae.b_enc[::3] -= 9.0  # some that are dead soon, for AuxK
        source = Batches(InMemory(rows(334, d_in=8)[0].double()), 111, epochs=epochs, mixing=300)
        sae = train(sae, source, HOW, folder=folder, parallel=self.parallel, progress=False)
        if leads():
            save(sae, folder / "sae")
        return sae


CASES = [Case(variant) for variant in SETTINGS]
CASES += [Case(variant, "dictionary") for variant in ("topk", "batchtopk", "matryoshka")]
CUT = [Case("batchtopk"), Case("topk", "dictionary")]  # begun by one number of ranks, ended by another


def cut_off(case, folder):
    """Train the first half: four batches an epoch, the last of one row, and only two epochs."""
    with pytest.raises(SaeError, match=f"ran out after {HALF}"):
        case.run(folder, epochs=2)


def everything(folder: Path) -> None:
    """The work of one rank of two."""
    for case in CASES:
        sae = case.run(folder / "two" / case.name)
        assert sae.encoder.shape == (49, 8)
        assert not sae.training
    for case in CUT:
        cut_off(case, folder / "two-one" / case.name)
        case.run(folder / "one-two" / case.name)
    group = Group()
    group.expect_same({"weights": [p.double().sum().item() for p in sae.parameters()]})  # on every rank
    selection(group)
    refusals(group, folder / "refused")
    if group.rank == 1:
        raise SaeError("The disk is full.")  # while the other waits
    group.gather(torch.zeros(3))


def selection(group: Group) -> None:
    """The choice among ranks is that of one list in the order of ranks."""
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        for count, wanted in ((40, 30), (40, 0), (7, 14), (7, 99), (0, 3)):
            everyones = [torch.randn(count + rank, dtype=dtype).mul(4).round() for rank in range(group.size)]
            for values in everyones:
                group.broadcast(values)
            mine = everyones[group.rank].sort(descending=True).values
            found = count_among(mine, wanted, rank=group.rank, gather=group.gather)
            flat = torch.cat(everyones)
            order = flat.argsort(descending=True, stable=True)[:wanted]
            order = order[flat[order] > 0]
            begin = sum(map(len, everyones[: group.rank]))
            expected = int(((order >= begin) & (order < begin + len(mine))).sum())
            assert found == expected, (dtype, count, wanted)
    table = torch.tensor([[3.0, 1.0, 2.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0, 5.0]])
    assert among_columns(table, 3).tolist() == [
        [True, False, True, True, False],
        [True, True, False, False, True],
    ]


def refusals(group: Group, folder: Path) -> None:
    """What is wrong is an error on every rank, and leaves the ranks in step."""
    values = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    few = Settings(steps=3)

    def attempt(variant="topk", rows=values, size=50, latents=20, **options):
        sae = make(
            variant, 8, latents, **SETTINGS[variant] | {"k": 2} if "k" in SETTINGS[variant] else {"l1": 1.0}
        )
        train(sae, Batches(InMemory(rows), size, epochs=None), few, progress=False, **options)

    with pytest.raises(SaeError, match="cannot be divided among ranks"):
        attempt("standard", parallel="dictionary")
    single = make("topk", 8, 1, k=1)
    with pytest.raises(SaeError, match="1 latents cannot"):
        train(single, Batches(InMemory(values), 50), few, progress=False, parallel="dictionary")
    with pytest.raises(SaeError, match=f"not given the same rows: rank {group.rank} has"):
        attempt(size=50 + group.rank)
    broken = values.clone()
    broken[0] = float("nan")
    for parallel in ("data", "dictionary"):
        with pytest.raises(SaeError, match="The loss was nan"):
            attempt(rows=broken, size=200, parallel=parallel)
    if group.rank == 0:
        folder.mkdir(exist_ok=True)
        (folder / CHECKPOINT).write_bytes(b"\0" * 40)
    with pytest.raises(LoadError, match="cannot be read"):
        attempt(folder=folder)


def one_is_killed() -> None:
    group = Group()
    if group.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    group.gather(torch.zeros(3))
