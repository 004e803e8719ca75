"""A module's arguments by name."""

import types

import torch
from torch import nn

from anylens.core.arguments import find, parameter_names, put


class Usual(nn.Module):
    def forward(self, x, y=None):
        return x


class Terse(nn.Module):
    def forward(s, x, y=None):
        return x


class Alone(nn.Module):
    @staticmethod
    def forward(x, y=None):
        return x


def test_the_module_itself_is_no_argument_whatever_it_is_called():
    for kind in (Usual, Terse, Alone):
        assert parameter_names(kind()) == ("x", "y")


def test_a_forward_of_the_instance_counts():
    module = Usual()
    module.forward = types.MethodType(lambda self, z: z, module)
    assert parameter_names(module) == ("z",)
    module.forward = lambda z, w: z
    assert parameter_names(module) == ("z", "w")


def test_an_argument_is_found_and_replaced_however_it_was_passed():
    x, new = torch.zeros(2), torch.ones(2)
    for module in (Usual(), Terse()):
        for given in (((x,), {}), ((), {"x": x})):
            assert find(module, given, ("x",)) is x
            args, kwargs = put(module, given, ("x",), new)
            assert (args or tuple(kwargs.values()))[0] is new
            assert (len(args), len(kwargs)) == (len(given[0]), len(given[1]))
