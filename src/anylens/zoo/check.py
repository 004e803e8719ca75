"""Measures zoo models from their shipped files: `python -m anylens.zoo.check shapes-vit`, or without a name all."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
from pathlib import Path
from typing import Any

from anylens.core.errors import ZooError
from anylens.zoo import files
from anylens.zoo.catalogue import Entry, entry, names
from anylens.zoo.loading import card, load_model, load_processor
from anylens.zoo.table import page

SEED = 0


def measure(
    name: str, *, samples: int | None = None, seed: int = SEED, folder: Path | None = None
) -> dict[str, Any]:
    """What the model scores on held-out samples of its world, and on how many; by default as many as for its card."""
    known = entry(name)
    samples = known.samples if samples is None else samples
    if samples < 1:
        raise ZooError(f"samples is {samples}; it must be at least 1")
    module = importlib.import_module(f"anylens.zoo.measure.{known.measure}")
    model = load_model(name, folder=folder)
    given: dict[str, Any] = {"samples": samples, "seed": seed}
    if "processor" in inspect.signature(module.measure).parameters:
        given["processor"] = load_processor(name, folder=folder)
    scores: dict[str, Any] = module.measure(model, **given)
    return {"split": "held_out", "samples": samples, "seed": seed, **_rounded(scores)}


def record(name: str, *, folder: Path | None = None) -> dict[str, Any]:
    """Measure the model and write the result on its card, under "measured"; returns the result."""
    measured = measure(name, folder=folder)
    files.write_json(
        (folder or entry(name).folder) / files.CARD, card(name, folder=folder) | {"measured": measured}
    )
    return measured


def missed(known: Entry, measured: dict[str, Any], *, slack: float = 0.0) -> list[str]:
    """What the model fell short of, in words."""
    return [
        f"{known.name}: {target.told(measured)}, must be {target.wanted}"
        for target in known.targets
        if not target.reached(measured, slack=slack)
    ]


def add_names(parser: argparse.ArgumentParser) -> None:
    """Let a command take names of models, as `name`; one that the zoo lacks is shown in one line."""
    parser.add_argument(
        "name", nargs="*", metavar="NAME", type=_known, help=f"any of {', '.join(names())} (default: all)"
    )


def _known(name: str) -> str:
    try:
        return entry(name).name
    except ZooError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


def main(arguments: list[str] | None = None) -> None:
    """Measure, print what was measured, and end with an error where a target is missed without a stated cause."""
    parser = argparse.ArgumentParser(prog="python -m anylens.zoo.check", description=__doc__)
    add_names(parser)
    parser.add_argument("--samples", type=int, help="how many samples (default: as many as for the card)")
    parser.add_argument("--record", action="store_true", help="write the numbers on the cards")
    parser.add_argument("--page", type=Path, help="write a table of all models' cards here (docs/zoo.md)")
    given = parser.parse_args(arguments)
    if given.record and given.samples is not None:
        parser.error("--record measures on as many samples as the catalogue says; leave out --samples")
    faults = []
    for name in given.name or names():
        measured = record(name) if given.record else measure(name, samples=given.samples)
        print(json.dumps({name: measured}, indent=2), flush=True)
        faults += missed(entry(name), measured) if not entry(name).shortfall else []
    if given.page:
        files.write(given.page, page().encode())
    if faults:
        raise SystemExit("\n".join(faults))


if __name__ == "__main__":
    main()
