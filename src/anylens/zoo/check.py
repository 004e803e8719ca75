"""Measures a zoo model from its shipped files: `python -m anylens.zoo.check shapes-vit`."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

from anylens.zoo import files
from anylens.zoo.catalogue import entry, names
from anylens.zoo.loading import card, load_model

SAMPLES = 4096
SEED = 0


def measure(
    name: str, *, samples: int = SAMPLES, seed: int = SEED, folder: Path | None = None
) -> dict[str, Any]:
    """What the model scores on held-out samples of its world, and on how many."""
    module = importlib.import_module(f"anylens.zoo.measure.{entry(name).measure}")
    scores: dict[str, Any] = module.measure(load_model(name, folder=folder), samples=samples, seed=seed)
    return {"split": "held_out", "samples": samples, "seed": seed, **_rounded(scores)}


def record(name: str, *, folder: Path | None = None) -> dict[str, Any]:
    """Measure the model and write the result on its card, under "measured"; returns the result."""
    measured = measure(name, folder=folder)
    files.write_json(
        (folder or entry(name).folder) / files.CARD, card(name, folder=folder) | {"measured": measured}
    )
    return measured


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return round(value, 5) if isinstance(value, float) else value


def main(arguments: list[str] | None = None) -> None:
    """Print the model's measured numbers as JSON."""
    parser = argparse.ArgumentParser(prog="python -m anylens.zoo.check", description=__doc__)
    parser.add_argument("name", choices=names())
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument(
        "--record", action="store_true", help=f"write the numbers over {SAMPLES} samples on the card"
    )
    given = parser.parse_args(arguments)
    measured = record(given.name) if given.record else measure(given.name, samples=given.samples)
    print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()
