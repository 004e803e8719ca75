"""How long `import anylens` takes beyond `import torch`, compiled to bytecode before, as an installed package is."""

import os
import subprocess
import sys
from functools import partial

from bench.pairs import Row, compare


def _import(module: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True, env=kept)


def row(rounds: int) -> Row:
    """Time fresh processes."""
    ours, base = partial(_import, "anylens"), partial(_import, "torch")
    return compare("import anylens / import torch", ours, base, rounds=rounds, budget="extra 300")
