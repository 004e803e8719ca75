"""Observe a model: warm it up, watch one forward, and leave model and arguments as they were."""

import copy
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import torch
from torch import nn

from anylens.anatomy.functions import StandIn
from anylens.anatomy.trace import Trace
from anylens.anatomy.warm import warm
from anylens.anatomy.watch import watch
from anylens.anatomy.watch_functions import watch_functions


def observe(
    root: nn.Module,
    call: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    stand_ins: Iterable[StandIn] = (),
) -> Trace:
    """Return the trace of the first call of `root` in `call(*args, **kwargs)`, and of functions with stand-ins.

    Raises:
        Whatever the model raises, as it is.
    """
    with torch.inference_mode(False), untouched(root):
        warm(root, call, *own_copy(args, kwargs))
        args, kwargs = own_copy(args, kwargs)
        return watch(root, lambda: call(*args, **kwargs), watch_functions(stand_ins))


def own_copy(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Copy arguments, so that a cache among them is not filled by watching; what cannot be copied is shared."""
    try:
        return copy.deepcopy((args, kwargs))
    except Exception:
        return args, kwargs


@contextmanager
def untouched(root: nn.Module) -> Iterator[None]:
    """Put back what a forward changes: buffers, such as a norm's running statistics, and the states of random numbers.

    Contents are compared: a fused norm changes its statistics without counting that as a change in place.
    """
    python, arrays = random.getstate(), numpy.random.get_state()
    before = [(buffer, buffer.detach().clone()) for buffer in root.buffers() if not buffer.is_meta]
    try:
        yield
    finally:
        random.setstate(python)
        numpy.random.set_state(arrays)
        with torch.no_grad():
            for buffer, content in before:
                if not torch.equal(buffer, content):
                    buffer.copy_(content)
