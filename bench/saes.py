"""What autoencoders cost: making rows, reading them, a step of training, each against what cannot be done without."""

import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import torch

import anylens
from anylens.harvest import Batches, Store
from anylens.sae import make
from bench.lens import language_model
from bench.pairs import Row, compare

POINT, BLOCK = "blocks.5.hook_resid_post", 5
WIDTH, LATENTS, K, BATCH = 256, 4096, 32, 4096


class _Cut(Exception):
    """The forward has come to where it ends."""


def rows(rounds: int) -> Iterator[Row]:
    """Measure harvesting on a 12-layer model, then reading and a step on rows of width 256."""
    with tempfile.TemporaryDirectory() as folder:
        yield harvesting(Path(folder, "harvest"), rounds)
        yield from training(Path(folder, "rows"), max(3, rounds // 3))


def harvesting(folder: Path, rounds: int) -> Row:
    """Harvest the middle of a model to disk, against forwards that plain hooks cut there."""
    model = language_model(12, 512)
    data = [torch.randint(3, 512, (8, 128)) for _ in range(4)]
    lens, number = anylens.attach(model, data[0]), count()

    def ours() -> None:
        anylens.harvest(lens, data, points=POINT, to=folder / str(next(number)), progress=False)

    def stop(*_: Any) -> None:
        raise _Cut

    @torch.no_grad()
    def base() -> None:
        handle = model.transformer.h[BLOCK].register_forward_hook(stop)
        try:
            for ids in data:
                try:
                    model(ids)
                except _Cut:
                    continue
        finally:
            handle.remove()

    what = "harvest block 5 of 12 to disk / forwards cut there"
    return compare(what, ours, base, rounds=rounds, budget="ratio 1.1")


def training(folder: Path, rounds: int) -> Iterator[Row]:
    """A whole TopK step against the floor, and the reading of its batch against the step."""
    x = 3 * torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(0))
    step, floor = steps(x)
    yield compare(
        f"TopK step {WIDTH} -> {LATENTS} / its encoder product and top-k", step, floor, rounds=rounds
    )
    batches = iter(Batches(_store(folder), BATCH, epochs=None))
    what = f"a batch of {BATCH:,} rows from disk, mixed / that step"
    yield compare(what, lambda: next(batches), step, rounds=rounds, budget="ratio 0.05")


def steps(x: torch.Tensor) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return a whole step of training, and what no step does without: the encoder's product and the choice."""
    sae = make("topk", WIDTH, LATENTS, k=K)
    optimiser = torch.optim.Adam(sae.parameters(), lr=1e-4, fused=True)
    dead = torch.zeros(LATENTS, dtype=torch.bool)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        sae.step(x, dead, 0.5)
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        optimiser.step()

    @torch.no_grad()
    def floor() -> None:
        torch.addmm(sae.b_enc, x, sae.encoder.T).topk(K, dim=1, sorted=False)

    return step, floor


def _store(folder: Path) -> Any:
    """Return rows of this width on disk: what a small model has behind its only block."""
    model = language_model(1, WIDTH)
    data = [torch.randint(3, 512, (64, 128)) for _ in range(12)]
    lens = anylens.attach(model, data[0][:1])
    store: Store = anylens.harvest(lens, data, points="blocks.0.hook_resid_post", to=folder, progress=False)
    return store.column("blocks.0.hook_resid_post")
