"""Labels: what an operation is computed from, seen from the module in whose forward it runs.

A bare count of calls shifts when another branch is taken; what an operation is computed from does not. So every
tensor in a scope carries labels at growing depth. At depth 0 it is the function that made it; at depth d the
function over its operands' labels at depth d - 1. What comes from outside is a label of its own: an input of the
scope by parameter name, an output of a child module by path, a parameter by path.

The same class labels the watched forward and, at run time, the scopes that hold a tap.
"""

import hashlib
import weakref
from collections.abc import Iterable

import torch

from anylens.anatomy.vocabulary import SAME
from anylens.core.tree import Key, show

DEPTH = 4
LONGEST = 120

Labels = tuple[str, ...]


def shorten(label: str) -> str:
    """Keep a label readable while it is short; past that a digest says the same."""
    return (
        label if len(label) <= LONGEST else "#" + hashlib.blake2s(label.encode(), digest_size=8).hexdigest()
    )


class Labeller:
    """The labels of the tensors known in one call of one scope."""

    def __init__(self, names: dict[int, str], depth: int = DEPTH) -> None:
        self.names = names  # id of each parameter and buffer -> its path
        self.depth = depth
        self.known: dict[int, tuple[weakref.ref[torch.Tensor], Labels]] = {}

    def put(self, tensor: torch.Tensor, labels: Labels) -> None:
        self.known[id(tensor)] = (weakref.ref(tensor), labels)

    def put_origin(self, tensor: torch.Tensor, origin: str) -> None:
        """Label a tensor that was not computed in this scope: an input, or what a child gave back."""
        self.put(tensor, (origin,) * (self.depth + 1))

    def entered(self, arguments: Iterable[tuple[Key, torch.Tensor]]) -> None:
        for key, tensor in arguments:
            self.put_origin(tensor, f"in{show(key)}")

    def returned(self, path: str, outputs: Iterable[tuple[Key, torch.Tensor]]) -> None:
        """Label what a child module at `path` gave back."""
        for key, tensor in outputs:
            self.put_origin(tensor, f"{path}{show(key)}")

    def of(self, tensor: torch.Tensor) -> Labels:
        entry = self.known.get(id(tensor))
        if entry is not None and entry[0]() is tensor:
            return entry[1]
        return (self.names.get(id(tensor), "?"),) * (self.depth + 1)

    def operation(self, function: str, operands: Iterable[torch.Tensor]) -> Labels:
        """Return the labels of an operation over tensors of this scope."""
        below = [self.of(tensor) for tensor in operands]
        if function in SAME and below:
            return below[0]
        deeper = (shorten(f"{function}({','.join(b[d] for b in below)})") for d in range(self.depth))
        return (function, *deeper)

    def label(self, labels: Labels, outputs: Iterable[torch.Tensor]) -> None:
        """Label the results of an operation."""
        for index, tensor in enumerate(outputs):
            self.put(tensor, tuple(f"{label}.{index}" for label in labels) if index else labels)
