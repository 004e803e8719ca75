"""The maps of attention and of the MLP as data: views of the model's own parameters, in TransformerLens's shapes."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from anylens.core.errors import AxisError


@dataclass(frozen=True)
class HeadMap:
    """A linear map head by head; `map[2]` is that of head 2.

    Attributes:
        name: the parameter of the model that it lies in.
        heads: for q, k and v `[d_in, d_head]` each, for o `[d_head, d_model]` each: views of the parameter.
        biases: of each head, `[d_head]`; for o one for all, `[d_model]`; None where there is none.
        factor: what the map's output is multiplied by before the point shows it.
        then: what is done to it besides: `rotated` by position, `normalised` by the module named; empty if nothing.
    """

    name: str
    heads: tuple[Tensor, ...]
    biases: tuple[Tensor, ...] | None = None
    factor: float = 1.0
    then: str = ""

    def __getitem__(self, head: int) -> Tensor:
        return self.heads[head]

    def __len__(self) -> int:
        return len(self.heads)

    def stacked(self) -> Float[Tensor, "head rows columns"]:
        """Return all heads in one tensor, a copy."""
        return torch.stack(self.heads)


@dataclass(frozen=True)
class AttentionMaps:
    """The maps of one attention. Where heads share keys and values, `k` and `v` have fewer heads than `q` and `o`."""

    base: str
    q: HeadMap
    k: HeadMap
    v: HeadMap
    o: HeadMap

    def key_head(self, head: int) -> int:
        """Return which head of `k` and `v` a head of queries attends with. Raises AxisError for one that is none."""
        if not -len(self.q) <= head < len(self.q):
            raise AxisError(f"{self.base} has {len(self.q)} heads, and no head {head}.")
        return head * len(self.k) // len(self.q)


@dataclass(frozen=True)
class LinearMap:
    """A linear map `y = x @ matrix + bias`; `matrix` is a view of the parameter `name`."""

    name: str
    matrix: Float[Tensor, "d_in d_out"]
    bias: Float[Tensor, "d_out"] | None = None


@dataclass(frozen=True)
class MlpMaps:
    """The maps of one MLP by the points they make or take: `pre`, `pre_linear` (None without a gate), and `post`."""

    base: str
    pre: LinearMap
    pre_linear: LinearMap | None
    post: LinearMap
