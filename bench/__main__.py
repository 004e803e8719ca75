"""`make bench`: print the ratios as a table, and as JSON on the last line."""

import argparse
import dataclasses
import json

import torch

from bench import lens, saes, start, sweep
from bench.pairs import show


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found = [*lens.rows(arguments.rounds), start.row(max(3, arguments.rounds // 3))]
    swept = list(sweep.rows(max(3, arguments.rounds // 5)))
    found += [row for row, _ in swept]
    found += saes.rows(max(3, arguments.rounds // 3))
    print(f"medians over {arguments.rounds} rounds, {arguments.threads} threads, torch {torch.__version__}\n")
    print(show(found))
    print("\nWhere a sweep's time goes:", *(f"\n- {where}" for _, where in swept))
    print(json.dumps([dataclasses.asdict(row) for row in found]))


if __name__ == "__main__":
    main()
