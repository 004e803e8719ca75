"""How long `import anylens` takes beyond `import torch`."""

import subprocess
import sys

from bench.pairs import Row, compare


def _import(module: str) -> None:
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)


def row(rounds: int) -> Row:
    """Time fresh processes."""
    found = compare("import anylens / import torch", lambda: _import("anylens"), lambda: _import("torch"), rounds=rounds)
    return Row(found.what, found.ours, found.base, found.ratio, budget=f"+300 ms; it is {found.ours - found.base:+.3f} s")
