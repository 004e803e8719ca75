"""Warm a model up, so that what is watched is what every later forward does.

Some models do a thing once and keep it: they fill a table of positions, cast a mask, build a lazy layer. Watched in the
very first forward, those operations would be points that no run ever reaches again.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class _Done(BaseException):
    """The first call of the model has ended."""


def _stop(*_: Any) -> None:
    raise _Done


def warm(root: nn.Module, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Let `call` run until the first call of `root` in it ends.

    What it raises is left to the forward that is watched next, and the random state is as before.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    handle = root.register_forward_hook(_stop)
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad(), contextlib.suppress(Exception):
            call(*args, **kwargs)
    except _Done:
        pass
    finally:
        handle.remove()
