"""`anylens check MODEL`: whether a lens on a model keeps the contract, as a table of checks with counts."""

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from anylens.conformance import CHECKS, Sampling, check
from anylens.core.errors import LoadError
from anylens.lens import Lens, attach
from anylens.loading import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    usual = Sampling()
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a hub id, a folder, zoo:NAME, or module:callable that returns a module or (module, example)",
    )
    parser.add_argument("--points", nargs="+", metavar="NAME", help="names or globs to narrow the checks to")
    parser.add_argument(
        "--checks", nargs="+", metavar="CHECK", choices=[one.name for one in CHECKS], help="only these checks"
    )
    parser.add_argument(
        "--native", type=int, default=usual.native, help="native points to edit at most (%(default)s)"
    )
    parser.add_argument(
        "--ops", type=int, default=usual.ops, help="points of operations to edit at most (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Check the model, print the report, and return 0 if all checks hold, 1 otherwise."""
    lens, example = opened(arguments.model)
    report = check(
        lens,
        example,
        points=arguments.points,
        checks=arguments.checks,
        sampling=Sampling(arguments.native, arguments.ops),
    )
    print(json.dumps(report.as_data(), indent=2) if arguments.json else report.table())
    return 0 if report.ok else 1


def opened(name: str) -> tuple[Lens, Any]:
    """Return the lens that a name stands for, and the example that came with it, if one did."""
    module, colon, function = name.partition(":")
    if not colon or module == "zoo" or not all(part.isidentifier() for part in module.split(".")):
        return load(name), None
    made = _made(module, function, name)
    model, example = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(model, nn.Module):
        raise LoadError(
            f"{name} returned {type(model).__name__}. It must return a torch.nn.Module, or one and an example."
        )
    return attach(model, example), example


def _made(module: str, function: str, name: str) -> Any:
    """Import a module, also from the working directory, and call what makes the model."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        made = getattr(import_module(module), function, None)
    except ModuleNotFoundError as error:
        raise LoadError(f"{name}: {error}. Give module:callable, as it would be imported.") from error
    finally:
        sys.path.remove(here)
    if not callable(made):
        raise LoadError(f"{name}: {module} has nothing callable named {function!r}.")
    return made()
