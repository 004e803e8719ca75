"""The command line: parse, call, print. One file a command; this one finds it and shows errors as one line."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from anylens.core import __version__
from anylens.core.errors import AnylensError

# name -> (module, what it does). A command's module has `add_arguments(parser)` and `run(arguments) -> exit status`.
COMMANDS = {
    "demo": ("anylens.cli.demo", "a tour over a model that ships with the package, as a page of pictures"),
    "check": ("anylens.cli.check", "check that a lens on a model keeps the contract"),
    "points": ("anylens.cli.points", "list the points of a model"),
    "harvest": ("anylens.cli.harvest", "run a model over data, and keep what it has at some points"),
    "sae": ("anylens.cli.sae", "train sparse autoencoders on what was harvested, and look at them"),
    "report": ("anylens.cli.report", "show the features of an autoencoder on a page, on your own data too"),
    "new-family": ("anylens.cli.new_family", "draft a family plugin from a model's anatomy"),
    "zoo": ("anylens.cli.zoo", "list the models that ship with the package, or look at their worlds"),
}


def parser_of(names: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser; only the commands named have their arguments read, and so their modules imported."""
    parser = argparse.ArgumentParser(prog="anylens", description="One lens for every PyTorch model.")
    parser.add_argument("--version", action="version", version=f"anylens {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, what) in COMMANDS.items():
        command = commands.add_parser(name, help=what, description=what)
        if name in names:
            import_module(module).add_arguments(command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0 well, 1 a check failed, 2 wrong usage or an error of ours."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = parser_of(given[:1]).parse_args(given)
    try:
        status: int = import_module(COMMANDS[arguments.command][0]).run(arguments)
    except AnylensError as error:
        print(f"anylens: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("anylens: interrupted", file=sys.stderr)
        return 130
    return status
