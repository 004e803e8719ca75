"""`anylens points MODEL`: the points of a model as a table."""

import argparse
from pathlib import Path

from anylens.anatomy.show import table
from anylens.cli.models import HELP, open_model
from anylens.core.errors import AnylensError
from anylens.report.drawing import drawing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help=HELP)
    parser.add_argument(
        "glob", metavar="GLOB", nargs="?", help="only points of this name, such as 'blocks.*.hook_resid_post'"
    )
    parser.add_argument("--drawing", metavar="FILE", type=Path, help="also draw the streams, as an SVG file")


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    lens = open_model(arguments.model).lens
    points = lens.points
    print(table(points.find(arguments.glob)) if arguments.glob else repr(points))
    if arguments.drawing is not None:
        try:
            arguments.drawing.write_text(drawing(lens), encoding="utf-8")
        except OSError as error:
            raise AnylensError(
                f"cannot write {arguments.drawing}: {error.strerror}; give another file"
            ) from None
    return 0
