"""`anylens points MODEL`: the points of a model as a table."""

import argparse

from anylens.anatomy.show import table
from anylens.cli.models import HELP, open_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help=HELP)
    parser.add_argument(
        "glob", metavar="GLOB", nargs="?", help="only points of this name, such as 'blocks.*.hook_resid_post'"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    points = open_model(arguments.model).lens.points
    print(table(points.find(arguments.glob)) if arguments.glob else repr(points))
    return 0
