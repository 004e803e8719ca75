"""`anylens check MODEL`: whether a lens on a model keeps the contract, as a table of checks with counts."""

import argparse
import json
import sys

from anylens.cli.models import HELP, open_model
from anylens.conformance import CHECKS, Outcome, Sampling, check


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    usual = Sampling()
    parser.add_argument("model", metavar="MODEL", help=HELP)
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
    parser.add_argument(
        "--blocks",
        type=int,
        default=usual.blocks,
        help="streams of at most so many blocks have all their canonical points edited, longer ones those of the "
        "first, middle and last block (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Check the model, print the report, and return 0 if all checks hold, 1 otherwise."""
    opened = open_model(arguments.model)
    report = check(
        opened.lens,
        opened.example,
        points=arguments.points,
        checks=arguments.checks,
        sampling=Sampling(arguments.native, arguments.ops, blocks=arguments.blocks),
        progress=_tell if sys.stderr.isatty() else None,
    )
    print(json.dumps(report.as_data(), indent=2) if arguments.json else report.table())
    return 0 if report.ok else 1


def _tell(outcome: Outcome) -> None:
    """Say on stderr that a check has ended."""
    width = max(len(one.name) for one in CHECKS)
    print(outcome.line(width), file=sys.stderr, flush=True)
