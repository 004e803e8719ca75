"""Trains every model of the zoo anew, in the catalogue's order: `python -m anylens.zoo.train`."""

from __future__ import annotations

import argparse
import subprocess
import sys

from anylens.zoo.catalogue import entry, names


def main(arguments: list[str] | None = None) -> None:
    """Run each model's script in a process of its own; what fails ends the whole."""
    parser = argparse.ArgumentParser(prog="python -m anylens.zoo.train", description=__doc__)
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"any of {', '.join(names())} (default: all)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    given = parser.parse_args(arguments)
    for name in given.name or names():
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", entry(name).script, "--threads", str(given.threads)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
