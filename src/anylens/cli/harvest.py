"""`anylens harvest MODEL`: run a model over data, and keep what it has at some points as rows in a folder."""

import argparse
import re
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch

from anylens.cli.models import HELP, called, open_model
from anylens.core.errors import StoreError
from anylens.harvest import Ray, harvest
from anylens.harvest.engines import ENGINES, Engine, Local
from anylens.harvest.positions import NAMED
from anylens.lens import Lens

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help=HELP)
    parser.add_argument("--points", nargs="+", required=True, metavar="NAME", help="names or globs")
    parser.add_argument(
        "--to",
        required=True,
        metavar="FOLDER",
        help="where the rows go, a folder or a URL such as s3://bucket/rows; a run cut off goes on there",
    )
    parser.add_argument(
        "--data",
        metavar="MODULE:FUNCTION",
        help="returns the inputs, each a batch; a model of the zoo takes samples of its world if this is left out",
    )
    parser.add_argument("--samples", type=int, default=4096, help="of the zoo's world (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="samples of an input (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the samples (default: %(default)s)")
    parser.add_argument(
        "--split",
        choices=("train", "held_out"),
        default="train",
        help="of the samples (default: %(default)s)",
    )
    parser.add_argument(
        "--positions",
        default="all",
        help=f"which positions become rows: {', '.join(NAMED)}, or indices such as 0,3 or 1: (default: %(default)s)",
    )
    parser.add_argument("--method", help="what is called in place of the model, such as generate")
    parser.add_argument("--steps", help="of an iterative run: indices such as 0,3 or 10:20:2 (default: all)")
    parser.add_argument(
        "--engine", choices=ENGINES, default="local", help="where it runs (default: %(default)s)"
    )
    parser.add_argument(
        "--workers", type=int, help="of the engine ray (default: as many as there is room for)"
    )
    parser.add_argument("--address", help="of a running cluster of ray (default: one is started here)")
    parser.add_argument("--gpus", type=float, default=0, help="of each worker (default: %(default)s)")
    parser.add_argument("--dtype", choices=DTYPES, help="of the rows (default: the model's)")


def run(arguments: argparse.Namespace) -> int:
    """Harvest, and print what the folder holds."""
    store = harvest(
        partial(lens_of, arguments.model),
        partial(inputs, arguments),
        points=arguments.points,
        to=arguments.to,
        positions=arguments.positions if arguments.positions in NAMED else index(arguments.positions),
        steps=index(arguments.steps) if arguments.steps else None,
        method=arguments.method,
        dtype=DTYPES[arguments.dtype] if arguments.dtype else None,
        engine=engine(arguments),
    )
    print(store)
    return 0


def lens_of(name: str) -> Lens:
    """Return a lens on the model of this name: a worker of a cluster makes its own."""
    return open_model(name).lens


def engine(arguments: argparse.Namespace) -> Engine:
    """Return the engine that was chosen; StoreError for options that it does not have."""
    if arguments.engine == "ray":
        return Ray(arguments.address, workers=arguments.workers, gpus=arguments.gpus)
    if arguments.workers or arguments.address or arguments.gpus:
        raise StoreError(
            "--workers, --address and --gpus are those of --engine ray. Add it, or leave them out."
        )
    return Local()


def inputs(arguments: argparse.Namespace) -> Iterable[Any]:
    """Return the user's inputs, or samples of the world of a model of the zoo.

    Raises StoreError where there is neither.
    """
    if arguments.data:
        found: Iterable[Any] = called(arguments.data)
        return found
    place, _, name = arguments.model.partition(":")
    if place != "zoo":
        raise StoreError(
            f"No data for {arguments.model}. Give --data MODULE:FUNCTION, which returns the inputs."
        )
    from anylens.zoo.feeding import Samples

    return Samples(name, arguments.samples, batch=arguments.batch, seed=arguments.seed, split=arguments.split)


def index(text: str) -> Any:
    """Read `3`, `0,3` or `1:8:2`; raises StoreError for anything else."""
    if re.fullmatch(r"-?\d+(,-?\d+)*", text):
        return [int(part) for part in text.split(",")]
    if re.fullmatch(r"(-?\d*):(-?\d*)(:-?\d*)?", text):
        return slice(*(int(part) if part else None for part in text.split(":")))
    raise StoreError(f"{text!r} is no choice of positions or steps. Write 3, or 0,3, or 1:8:2.")
