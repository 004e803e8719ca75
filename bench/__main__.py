"""`make bench`: print the ratios as a table, and as JSON on the last line; `--page FILE` keeps them as a page."""

import argparse
import dataclasses
import json
import platform
from pathlib import Path

import torch

from bench import lens, saes, start, sweep
from bench.pairs import show

PAGE = """# Benchmarks

What a lens costs, against the model alone, hooks written by hand, or the plain loop. `make bench` prints this, and
`make bench ARGS="--page docs/benchmarks.md"` writes this page. Both sides of a line are timed in turns in one run, so
that whatever else the machine does falls on both alike: the ratios mean something, the milliseconds ({machine}, a CPU)
less. `extra` is the median of the differences, in milliseconds. A line beyond its budget is a budget missed.

```
{said}
```

Training steps of autoencoders beside SAELens's: [what was measured](saes.md#what-was-measured), by
`make compare-saelens`. Checks of the whole contract, model by model: [conformance](conformance.md).
"""


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--page", type=Path, help="a page of the docs to write the table to")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found = [*lens.rows(arguments.rounds), start.row(max(3, arguments.rounds // 3))]
    swept = list(sweep.rows(max(3, arguments.rounds // 5)))
    found += [row for row, _ in swept]
    found += saes.rows(max(3, arguments.rounds // 3))
    said = [
        f"medians over {arguments.rounds} rounds, {arguments.threads} threads, torch {torch.__version__}\n",
        show(found),
        "\nWhere a sweep's time goes:",
        *(f"- {where}" for _, where in swept),
    ]
    print(*said, sep="\n")
    if arguments.page is not None:
        arguments.page.write_text(
            PAGE.format(machine=platform.machine(), said="\n".join(said)), encoding="utf-8"
        )
    print(json.dumps([dataclasses.asdict(row) for row in found]))


if __name__ == "__main__":
    main()
