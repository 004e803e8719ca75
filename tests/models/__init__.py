"""Tiny random models of the real classes, each with an example input.

`common` holds those that most tests use (`MODELS`). Every other module of this package is one row of the families that
the library covers, with a `MODELS` of its own; `ROWS` has them all, by the name of the module.
"""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from tests.models.common import *  # noqa: F403
from tests.models.common import MODELS, Made

ROWS = {
    name: import_module(f"{__name__}.{name}").MODELS
    for name in sorted(module.name for module in iter_modules([str(Path(__file__).parent)]))
    if name != "common"
}

__all__ = ["MODELS", "ROWS", "Made"]
