"""A write taken apart into what each head or each neuron put into it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from anylens.analysis.maps.parameters import outputs_beside, seen_modules
from anylens.analysis.maps.views import LinearMap
from anylens.analysis.streams.carries import Carry, find_carry
from anylens.analysis.streams.parts import StreamParts, called, norms_of, write_names
from anylens.analysis.weights import output_map
from anylens.anatomy.anatomy import StreamRecord
from anylens.core.names import split_block
from anylens.lens import Lens
from anylens.running.capture import Cache

_SPLIT = {"head": ("attn", "cross_attn"), "neuron": ("mlp",)}
_INSIDE = {"attn": "hook_z", "cross_attn": "hook_z", "mlp": "hook_post"}


@dataclass(frozen=True)
class Split:
    """A write as a sum over heads or neurons: `write = carry(sum of parts @ matrix + bias)`."""

    values: Float[Tensor, "batch pos index d_part"]
    matrix: Float[Tensor, "index d_part d_model"]
    offset: Float[Tensor, "d_model"] | None
    carry: Carry

    def numbers(self, direction: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos index"]:
        """Return how much of a direction each head or neuron writes."""
        back = self.carry.pull(direction)
        return (self.values * torch.einsum("bpm,idm->bpid", back, self.matrix)).sum(-1)

    def bias(self, direction: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos"]:
        """Return how much of it no head or neuron writes: the biases."""
        found = (self.carry.bias * direction).sum(-1)
        return found if self.offset is None else found + self.carry.pull(direction) @ self.offset


def split_points(lens: Lens, stream: StreamRecord, by: str) -> list[str]:
    """Return the points from which the writes of a stream are split; AbsentPointError where the model lacks one."""
    names = []
    for number, block in enumerate(stream.blocks):
        for name in _writes(stream, number):
            inside = _inside(name, by)
            if inside:
                point = lens.points[inside]
                width = torch.Size(point.shape[point.axes.index("pos") + 1 :]).numel()
                names += [inside, *outputs_beside(lens, block, width)]
    return names


def splits_of(
    lens: Lens, stream: StreamRecord, cache: Cache, parts: StreamParts, by: str
) -> dict[str, Split]:
    """Return the splits of the writes of a stream, by the write's name."""
    return {
        write.name: _split(lens, stream, cache, (write.name, inside, write.value))
        for stage in parts.stages
        for write in stage.writes
        if (inside := _inside(write.name, by))
    }


def _writes(stream: StreamRecord, number: int) -> list[str]:
    return [name for group in write_names(stream, number) for name in group]


def _inside(write: str, by: str) -> str:
    """Return the point that shows the parts of a write: `blocks.0.attn.hook_z` for `blocks.0.hook_attn_out`."""
    base, _, name = write.rpartition(".hook_")
    kind, _, suffix = name.partition("_out")
    return f"{base}.{kind}{suffix}.{_INSIDE[kind]}" if kind in _SPLIT.get(by, ()) else ""


def _split(lens: Lens, stream: StreamRecord, cache: Cache, which: tuple[str, str, Tensor]) -> Split:
    write, inside, value = which
    found = split_block(write)
    assert found is not None, "writes are in blocks"
    x = cache[inside]
    x = x if x.dim() > 2 else x.unflatten(0, value.shape[:2])
    x = x if x.dim() > 3 else x.unsqueeze(-1)  # a neuron is a head one wide
    seen = seen_modules(lens, stream.blocks[found[1]], cache)
    whole: LinearMap = output_map(seen, x.flatten(2), inside)
    given = x.flatten(2) @ whole.matrix + (0 if whole.bias is None else whole.bias)
    norms = [called(norm) for norm in norms_of(lens, write.rpartition(".")[0]).values()]
    carry = find_carry(given, value, norms, what=f"the map behind {inside} and {write}")
    return Split(x, whole.matrix.unflatten(0, x.shape[2:]), whole.bias, carry)
