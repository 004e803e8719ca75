"""How long `import anylens` takes beyond `import torch`."""

import subprocess
import sys
from functools import partial

from bench.pairs import Row, compare


def _import(module: str) -> None:
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)


def row(rounds: int) -> Row:
    """Time fresh processes."""
    ours, base = partial(_import, "anylens"), partial(_import, "torch")
    return compare("import anylens / import torch", ours, base, rounds=rounds, budget="extra 300")
