"""Functions that show themselves to a function mode but hide what they compute.

Such a function asks `has_torch_function` first and hands itself over whole. Its body, run with that question
answered no, is the same code with every operation in sight.
"""

import types
from collections.abc import Callable
from typing import Any

from torch.nn import functional

_HIDES = "has_torch_function"


def _no(*_: Any) -> bool:
    return False


def open_body(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a copy of a Python function whose operations a mode can see."""
    namespace = {**function.__globals__, _HIDES: _no}
    copy = types.FunctionType(
        function.__code__,
        namespace,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


OPENED: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.multi_head_attention_forward: open_body(functional.multi_head_attention_forward),
}
