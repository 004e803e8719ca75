"""Circuits of attention heads from their weights alone: what a head looks for, what it moves, which heads feed it.

A circuit is the product of two thin maps and is kept as these: a `[d_model, d_model]` matrix is made only if asked for.
(Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits",
https://transformer-circuits.pub/2021/framework/index.html. Streams are rows here, as in TransformerLens, so products
stand in the order in which the maps are applied.)

Legend of shape suffixes: D d_model, R the width of a head, H heads.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from anylens.analysis.maps.views import AttentionMaps
from anylens.core.errors import AxisError, ShapeError

Composition = Literal["q", "k", "v"]


@dataclass(frozen=True)
class Factored:
    """The matrix `left @ right`, of low rank, kept as its factors."""

    left: Float[Tensor, "rows rank"]
    right: Float[Tensor, "rank columns"]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.left.shape[0], self.right.shape[1]

    @property
    def T(self) -> "Factored":
        """The transpose."""
        return Factored(self.right.T, self.left.T)

    def __matmul__(self, other: "Factored") -> "Factored":
        if self.shape[1] != other.shape[0]:
            raise ShapeError(f"{self.shape} and {other.shape} do not multiply.")
        return Factored(self.left, (self.right @ other.left) @ other.right)

    def dense(self) -> Float[Tensor, "rows columns"]:
        """Return the whole matrix."""
        return self.left @ self.right

    def norm(self) -> Float[Tensor, ""]:
        """Return the Frobenius norm, worked out on the factors."""
        return _norm(self.left, self.right)

    def eigenvalues(self) -> Complex[Tensor, "rank"]:
        """Return the eigenvalues that are not zero by the rank alone, largest first."""
        found = torch.linalg.eigvals((self.right @ self.left).double())
        ordered: Tensor = found[found.abs().argsort(descending=True)]
        return ordered

    def svd(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the singular value decomposition: `[rows, rank]`, `[rank]` and `[rank, columns]`."""
        left_q, left_r = torch.linalg.qr(self.left)
        right_q, right_r = torch.linalg.qr(self.right.T)
        u, values, v = torch.linalg.svd(left_r @ right_r.T, full_matrices=False)
        return left_q @ u, values, v @ right_q.T


def qk_circuit(maps: AttentionMaps, head: int) -> Factored:
    """Return what a head looks for: the score of a query row x for a key row y is `x @ circuit @ y`, without biases.

    What is done to queries and keys besides (`maps.q.then`: a rotation by position, a norm) is not in it. Raises
    AxisError for a head that there is not.
    (Elhage et al. 2021, https://transformer-circuits.pub/2021/framework/index.html.)

    >>> from anylens.analysis.weights import attention_maps
    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> qk_circuit(attention_maps(lens, "blocks.0.attn"), 1).shape
    (64, 64)
    """
    shared = maps.key_head(head)
    return Factored(maps.q.factor * maps.q[head], maps.k.factor * maps.k[shared].T)


def ov_circuit(maps: AttentionMaps, head: int) -> Factored:
    """Return what a head moves: where it attends to a row x alone it writes `x @ circuit`, without biases.

    Raises AxisError for a head that there is not.
    (Elhage et al. 2021, https://transformer-circuits.pub/2021/framework/index.html.)

    >>> from anylens.analysis.weights import attention_maps
    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> circuit = ov_circuit(attention_maps(lens, "blocks.0.attn"), 1)
    >>> bool(torch.allclose(circuit.norm(), circuit.dense().norm(), rtol=1e-4))
    True
    """
    return Factored(maps.v.factor * maps.v[maps.key_head(head)], maps.o[head])


def copying(circuit: Factored) -> float:
    """Return how much a circuit maps things to themselves: the sum of its eigenvalues over the sum of their sizes.

    1 where all are positive (it copies), -1 where all are negative, near 0 for maps at random.
    (Elhage et al. 2021, https://transformer-circuits.pub/2021/framework/index.html#copying-eigenvalues.)

    >>> copying(Factored(torch.eye(3), torch.diag(torch.tensor([1.0, 2.0, -1.0]))))
    0.5
    """
    values = circuit.eigenvalues()
    return float(values.real.sum() / values.abs().sum())


@torch.no_grad()
def composition_scores(
    earlier: AttentionMaps, later: AttentionMaps, by: Composition
) -> Float[Tensor, "earlier_head later_head"]:
    """Return how much the heads of a later layer read what those of an earlier one write: `[earlier head, later head]`.

    By its queries, keys or values: the norm of the two circuits' product over the product of their norms. Maps at
    random have about 1 / sqrt(d_model), so compare with the other heads. Raises AxisError for another `by`, ShapeError
    for attentions of different streams.
    (Elhage et al. 2021, https://transformer-circuits.pub/2021/framework/index.html.)

    >>> from anylens.analysis.weights import attention_maps
    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> first, second = (attention_maps(lens, f"blocks.{layer}.attn") for layer in (0, 1))
    >>> composition_scores(first, second, "k").shape
    torch.Size([4, 4])
    """
    if by not in get_args(Composition):
        raise AxisError(f"Heads compose by {', '.join(get_args(Composition))}; by={by!r} was given.")
    writes = [ov_circuit(earlier, head) for head in range(len(earlier.q))]
    reads = [_reading(later, head, by) for head in range(len(later.q))]
    if writes[0].shape[1] != reads[0].shape[0]:
        raise ShapeError(
            f"{earlier.base} writes rows of {writes[0].shape[1]} and {later.base} reads rows of {reads[0].shape[0]}: "
            "they are of different streams."
        )
    scores = [[(write @ read).norm() / (write.norm() * read.norm()) for read in reads] for write in writes]
    return torch.stack([torch.stack(row) for row in scores])


def _reading(maps: AttentionMaps, head: int, by: Composition) -> Factored:
    """Return the circuit with the side that reads first."""
    if by == "v":
        return ov_circuit(maps, head)
    circuit = qk_circuit(maps, head)
    return circuit if by == "q" else circuit.T


def _norm(left_DR: Tensor, right_RD: Tensor) -> Tensor:
    """Return the Frobenius norm of left @ right through the two Gram matrices, `[R, R]` each."""
    left_RR, right_RR = (left_DR.T @ left_DR).double(), (right_RD @ right_RD.T).double()
    return (left_RR * right_RR).sum().clamp(min=0).sqrt().to(left_DR.dtype)
