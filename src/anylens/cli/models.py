"""A model as the command line names it: a name for `load`, or a function of the user's that makes one."""

import re
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import nn

from anylens.attaching import attach
from anylens.core.errors import AttachError, LoadError
from anylens.lens import Lens
from anylens.loading import load
from anylens.pipelines import components, is_pipeline

HELP = (
    "a hub id, a folder, zoo:NAME, or module:function, which returns a model, or a model and an example input"
)


@dataclass(frozen=True)
class Opened:
    """A lens with the example that it was attached on: the user's, or else the family's."""

    lens: Lens
    example: Any


def open_model(name: str) -> Opened:
    """Attach to the model of this name, in eval mode.

    Raises LoadError if there is no such model, AttachError if nobody gives an example to watch it on.
    """
    lens, example = _made(name) if is_function(name) else (load(name), None)
    if example is None:
        if lens.family is None:
            raise AttachError(
                f"No family claims {type(lens.model).__name__}, so there is no example to watch it on. "
                "Write a function that returns the model and an example input, and name it as module:function."
            )
        example = lens.family.example_of(lens.model)
    return Opened(lens, example)


def is_function(name: str) -> bool:
    """Whether a name is that of a function, `module:function`."""
    return not name.startswith("zoo:") and re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name) is not None


def _made(name: str) -> tuple[Lens, Any]:
    """Call the function, and attach to what it makes."""
    made = called(name)
    model, example = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(model, nn.Module) and not is_pipeline(model):
        raise LoadError(
            f"{name} returned {type(made).__name__}. It must return a torch.nn.Module or a pipeline of such, or one "
            "and an example input."
        )
    for module in (model,) if isinstance(model, nn.Module) else components(model).values():
        module.eval()
    return attach(model, example), example


def called(name: str) -> Any:
    """Call a function of the user's, `module:function`, and return what it returns.

    Raises LoadError if there is no such function.
    """
    if not is_function(name):
        raise LoadError(f"{name!r} names no function. Write module:function.")
    return _function(name)()


def _function(name: str) -> Any:
    module, _, attribute = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # the folder that the command runs in, as `python -m` has it
    try:
        found = getattr(import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise LoadError(f"There is no module {error.name!r} here, which {name} speaks of.") from error
    if not callable(found):
        raise LoadError(f"{module} has nothing callable named {attribute!r}.")
    return found
