"""Which parameter of a block a value was computed with, found by trying: each is applied to what entered its module.

Names of modules and of parameters say nothing here. A parameter is taken for a map only if it gives, on the values of
a run, exactly what the run has at a point; fused and transposed parameters are found as readily as others.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anylens.anatomy.anatomy import BlockRecord, StreamRecord
from anylens.anatomy.points import Point
from anylens.core.errors import RunError, UnknownPointError
from anylens.core.names import join, split_block
from anylens.lens import Lens
from anylens.running.capture import Cache


@dataclass(frozen=True)
class Weight:
    """A two-dimensional parameter as a map from rows: `y = x @ matrix + bias`.

    name: of the parameter in the model. matrix: `[d_in, d_out]`, a view of it. biases: the one-dimensional parameters
    beside it that fit, by name.
    """

    name: str
    matrix: Tensor
    biases: dict[str, Tensor] = field(default_factory=dict)

    def applied(self, x: Tensor) -> Iterator[tuple[Tensor, str]]:
        """Yield what it makes of x with each bias, and without, together with the name of the bias."""
        product = x.to(self.matrix) @ self.matrix
        yield from ((product + bias, name) for name, bias in self.biases.items())
        yield product, ""


@dataclass(frozen=True)
class Seen:
    """A module of a block with its two-dimensional parameters, and the tensors that entered and left it in a run."""

    path: str
    weights: tuple[Weight, ...]
    entered: tuple[Tensor, ...]
    left: tuple[Tensor, ...]


def block_of(lens: Lens, base: str) -> tuple[StreamRecord, BlockRecord, str]:
    """Return the stream and the block that a name such as `decoder.blocks.1.attn` lies in, and the rest: `attn`.

    Raises UnknownPointError where there is no such block, RunError for a lens of a pipeline.
    """
    expect_module(lens)
    found = split_block(f"{base}.")
    blocks = {
        join(stream.prefix, f"blocks.{number}"): (stream, block)
        for stream in lens.anatomy.streams
        for number, block in enumerate(stream.blocks)
    }
    name = f"{found[0]}blocks.{found[1]}" if found else base
    if found is None or name not in blocks:
        raise UnknownPointError.among(name, blocks)
    return *blocks[name], found[2].rstrip(".")


def expect_module(lens: Lens) -> None:
    """Raise RunError for a lens on a pipeline, which has parameters and streams in its parts only."""
    if not isinstance(lens.model, nn.Module):
        raise RunError(
            f"{type(lens.model).__name__} is a pipeline. Give the lens of one of its models, lens.parts[...], and what "
            "that model takes."
        )


def boundary_points(lens: Lens, block: BlockRecord) -> list[Point]:
    """Return what enters and leaves the modules of a block, those of the block's own call where it is called again."""
    parts = block.calls or ((block.path, block.turn),)  # of a block without any part, what holds it
    return [
        point
        for point in lens.points.native.values()
        if point.name not in lens.points.several and any(_lies_in(point, *part) for part in parts)
    ]


def _lies_in(point: Point, path: str, turn: int) -> bool:
    """Whether a point is of a module at or below a path, at one of its calls."""
    return f"{point.tap.path}.".startswith(f"{path}." if path else "") and point.tap.turn in (None, turn)


def seen_modules(lens: Lens, block: BlockRecord, cache: Cache) -> list[Seen]:
    """Return the modules of a block that were called, with what a run showed of them.

    A parameter of a module that is never called itself counts to the one around it that is.
    """
    taps: dict[str, dict[str, list[Tensor]]] = {}
    for point in boundary_points(lens, block):
        if point.name in cache and cache[point.name].is_floating_point():
            taps.setdefault(point.tap.path, {"in": [], "out": []})[point.tap.side].append(cache[point.name])
    owned: dict[str, list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in _parameters(lens, block):
        owner = _called(name, taps)
        if owner is not None:
            owned.setdefault(owner, []).append((name, parameter))
    return [
        Seen(path, tuple(_weights(owned.get(path, []))), tuple(seen["in"]), tuple(seen["out"]))
        for path, seen in taps.items()
    ]


def outputs_beside(lens: Lens, block: BlockRecord, width: int) -> list[str]:
    """Return the points that leave those modules of a block in which a parameter of this width may be applied."""
    names = [name for name, one in _parameters(lens, block) if one.dim() == 2 and width in one.shape]
    points = [point for point in boundary_points(lens, block) if point.tap.side == "out"]
    owners = {_called(name, {point.tap.path for point in points}) for name in names}
    return [point.name for point in points if point.tap.path in owners]


def _parameters(lens: Lens, block: BlockRecord) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters of a block with their names in the model."""
    for path in dict(block.parts or ()) or (block.path,):
        inside = lens.model.get_submodule(path).named_parameters(remove_duplicate=False)
        yield from ((join(path, name), parameter) for name, parameter in inside)


def _called(name: str, paths: Container[str]) -> str | None:
    """Return the nearest of some modules around a parameter."""
    while name:
        name = name.rpartition(".")[0]
        if name in paths:
            return name
    return None


def _weights(parameters: list[tuple[str, nn.Parameter]]) -> Iterator[Weight]:
    """Yield each two-dimensional parameter both ways round."""
    for name, parameter in parameters:
        if parameter.dim() != 2:
            continue
        ways = [parameter.detach().T, parameter.detach()]
        for matrix in ways:
            biases = {
                other: bias.detach()
                for other, bias in parameters
                if bias.dim() == 1 and len(bias) == matrix.shape[1]
            }
            yield Weight(name, matrix, biases)


def as_rows(value: Tensor, batch: int, positions: int) -> Iterator[Float[Tensor, "batch pos feature"]]:
    """Yield a value as rows of features, in each way that its shape allows: positions may come first, or be flat."""
    if value.dim() == 2 and len(value) == batch * positions:
        yield value.unflatten(0, (batch, positions))
    if value.dim() == 3 and value.shape[:2] == (batch, positions):
        yield value
    if value.dim() == 3 and value.shape[:2] == (positions, batch):
        yield value.transpose(0, 1)


def equal(one: Tensor, other: Tensor) -> bool:
    """Whether two computations gave the same but for rounding, in the precision of the coarser."""
    eps = max(torch.finfo(value.dtype).eps for value in (one, other))
    one, other = one.float(), other.float()
    return one.shape == other.shape and bool(
        (one - other).abs().max() <= 200 * eps * other.abs().max().clamp(min=1e-30)
    )
