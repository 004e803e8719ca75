"""`python -m tools.scale`: simulate, and print what the model says; `--measure` measures first, in some minutes."""

import argparse
from dataclasses import replace

from tools.scale.model import Assumptions, table
from tools.scale.simulate import Plan, simulate

A = Assumptions()
LARGE = Plan(
    workers=A.workers,
    blocks=round(A.rows * A.row_bytes / A.shard_bytes),
    rows=round(A.shard_bytes / A.row_bytes),
    width=A.width,
    block_seconds=A.block_seconds,
)
PLANS = {
    "nobody fails": replace(LARGE, slow_workers=0.0, stalls=0.0, worker_life=1e9),
    "2% of workers 5 times slower": replace(LARGE, stalls=0.0, worker_life=1e9),
    "and each dies every 2 hours, 1 block in 2,000 stalls": replace(LARGE, worker_life=7200.0),
    "and the driver is killed twice": replace(LARGE, worker_life=7200.0, driver_deaths=(300.0, 600.0)),
}


def main() -> None:
    """Print tables in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tools.scale", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure harvests and training too")
    parser.add_argument(
        "--samples", type=int, default=4096, help="of the measured harvests (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    given = parser.parse_args()
    if given.measure:
        _measure(given.samples, given.rounds)
    print("| what | by the model |\n|---|---|")
    for what, value in table(A):
        print(f"| {what} | {value} |")
    print(
        "\n| simulated | hours | of the ideal | lost | doubled | taken up | missing, twice | manifest written |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, plan in PLANS.items():
        o = simulate(plan)
        print(
            f"| {name} | {o.hours:.2f} | {o.efficiency:.0%} | {o.lost:,} | {o.doubled:,} | {o.taken_up:,} | "
            f"{o.missing}, {o.twice} | {o.manifests} times, {o.manifest_bytes / 1e6:.0f} MB |",
            flush=True,
        )


def _measure(samples: int, rounds: int) -> None:
    from tools.scale.measure import harvests, waiting

    rates = harvests(samples, rounds)
    for name, rate in rates.items():
        print(f"{name}: {rate:,.0f} rows/s")
    print(f"two workers: {rates['ray, 2 workers'] / rates['ray, 1 worker'] / 2:.0%} of twice one")
    for name, share in waiting(samples, 100).items():
        print(f"{name}: {share:.1%} of the training's time")


if __name__ == "__main__":
    main()
