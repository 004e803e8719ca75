"""What ranks bring: `python -m bench.ranks` times steps of a training in one process and in two, of one thread each.

The ways are timed in turns, so that whatever else the machine does falls on all alike.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import distributed as dist

from anylens.core.progress import Progress
from anylens.sae import Settings, make, train
from anylens.sae.ranks.launch import start
from anylens.sae.ranks.parallel import Alone
from anylens.sae.run import Run
from anylens.store.batches import Batches
from anylens.store.reader import InMemory

WIDTH, LATENTS, K, BATCH = 256, 4096, 32, 4096
WAYS = ("one process", "data", "dictionary")


def rounds_of(count: int, steps: int, file: str) -> None:
    """Time every way, round after round; with one process the second rank waits."""
    torch.set_num_threads(1)
    held = InMemory(3 * torch.randn(4 * BATCH, WIDTH, generator=torch.Generator().manual_seed(0)))
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(count + 1):  # the first does not count
        for way in WAYS:
            dist.barrier()
            began = time.perf_counter()
            if way == "one process":
                if dist.get_rank() == 0:
                    _steps_alone(held, steps)
                dist.barrier()
            else:
                sae = make("topk", WIDTH, LATENTS, k=K)
                train(
                    sae,
                    Batches(held, BATCH, epochs=None),
                    Settings(steps=steps),
                    parallel=way,
                    progress=False,
                )
            seconds[way].append((time.perf_counter() - began) / steps)
    if dist.get_rank() == 0:
        Path(file).write_text(json.dumps({way: times[1:] for way, times in seconds.items()}))


def _steps_alone(held: InMemory, steps: int) -> None:
    """Train as one process does, though there is another."""
    sae = make("topk", WIDTH, LATENTS, k=K)
    run = Run(
        sae.train(), Batches(held, BATCH, epochs=None), Settings(steps=steps), parallel=Alone(), file=None
    )
    run.begin()
    for batch, _ in zip(run.batches, range(steps), strict=False):
        run.take(batch.values, Progress("train", shown=False))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.ranks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "seconds.json")
        start(2, rounds_of, given.rounds, given.steps, str(file))
        seconds = json.loads(file.read_text())
    print(
        f"topk {WIDTH} -> {LATENTS}, k={K}, batch {BATCH}; medians of {given.rounds} rounds of {given.steps} steps"
    )
    for way, times in seconds.items():
        faster = statistics.median(one / two for one, two in zip(seconds[WAYS[0]], times, strict=True))
        print(f"{way:12}  {1 / statistics.median(times):6.2f} steps/s  {faster:5.2f} times one process")


if __name__ == "__main__":
    main()
