"""A model seen through one of its methods: what runs it without being its forward, such as `encode` or `inverse`."""

import copy
from collections import OrderedDict

from torch import nn

from anylens.running.examples import method_of


def through(model: nn.Module, method: str) -> nn.Module:
    """Return a model whose forward is a method of this one; modules and weights are shared, the model stays as it is.

    Raises RunError if there is no such method.
    """
    seen = copy.copy(model)
    for name, held in vars(model).items():
        if name.startswith(("_forward_", "_backward_")) and isinstance(held, dict):
            seen.__dict__[name] = (
                OrderedDict()
            )  # hooks: the model's own are on its forward, not on its methods
    seen.__dict__["forward"] = method_of(model, method)
    return seen
