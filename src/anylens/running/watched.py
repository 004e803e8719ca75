"""Watch one forward of a model, and keep what it shows for the next time."""

from typing import Any

from torch import nn

from anylens.anatomy.anatomy import Anatomy
from anylens.anatomy.derive import derive
from anylens.anatomy.functions import StandIn
from anylens.anatomy.known import key_of, remember, versions
from anylens.anatomy.observe import observe
from anylens.core.errors import AnylensError, AttachError
from anylens.running.examples import Arguments, describe


def watched(model: nn.Module, call: Any, given: Arguments, stand_ins: tuple[StandIn, ...]) -> Anatomy:
    """Run a model once and return the anatomy that behaviour shows; what a family calls things is not in it.

    Args:
        model: the model.
        call: what is called: the model, or a method of it.
        given: the arguments, positional and by keyword.
        stand_ins: those that the model's family has for functions.

    Raises AttachError if the call never enters the model; what the model raises goes through, with a note.
    """
    args, kwargs = given
    try:
        trace = observe(model, call, args, kwargs, stand_ins)
    except AnylensError:
        raise
    except Exception as error:
        error.add_note(f"anylens ran {type(model).__name__} once to watch it, with {describe(given)}.")
        raise
    if not trace.calls:
        raise AttachError(f"The call never entered {type(model).__name__}, so nothing could be watched.")
    found = derive(trace, key_of(model, stand_ins, kwargs), versions(), stand_ins)
    remember(found)
    return found
