"""From a state of a stream to the model's output: its own final norm and heads, checked against a run."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anylens.analysis.streams.carries import same
from anylens.analysis.streams.ends import end_points, final_norm, head_of
from anylens.analysis.streams.parts import block_base
from anylens.anatomy.anatomy import StreamRecord
from anylens.core.tree import leaves
from anylens.lens import Lens
from anylens.running.capture import Cache
from anylens.running.examples import Arguments


@dataclass(frozen=True)
class Readout:
    """What turns states `[..., d_model]` into outputs `[..., output]`, or `[..., head, output]` of several heads.

    factor: what the model multiplies its outputs by. final: what it makes of the last state of the run that it was
    checked on. exact: whether that is in the model's output of that run.
    """

    norm: nn.Module | None
    scale: float
    heads: tuple[nn.Module, ...]
    factor: float
    final: Tensor
    exact: bool

    def __call__(self, states: Tensor) -> Tensor:
        return self.factor * _said(self.norm, self.scale, self.heads, states)


def _said(norm: nn.Module | None, scale: float, heads: tuple[nn.Module, ...], states: Tensor) -> Tensor:
    normalized = scale * (states if norm is None else norm(states))
    found = [head(normalized) for head in heads]
    return found[0] if len(found) == 1 else torch.stack(found, -2)


def read_out(
    lens: Lens, stream: StreamRecord, given: Arguments, points: Iterable[str]
) -> tuple[Readout, Cache]:
    """Run the lens once and return the readout of a stream, with what the run had at some points.

    Raises AnatomyError where there is more than a norm and a factor between the last state and the head.
    """
    args, kwargs = given
    last = _last_state(lens, stream)
    paths = _head_paths(lens, stream)
    names = {*points, last, *end_points(stream), *(f"{path}.hook_in" for path in paths)}
    output, cache = lens.run_with_cache(*args, points=names, **kwargs)
    carry = final_norm(lens, stream, cache, cache[last])
    scale, _ = head_of(lens, stream, cache, carry.push(cache[last]))
    entered = cache[f"{stream.unembed}.hook_in"]
    heads = [path for path in paths if same(cache[f"{path}.hook_in"], entered)]
    norm = lens.model.get_submodule(stream.norm) if stream.norm else None
    parts = (norm, float(scale.weight.mean()), tuple(lens.model.get_submodule(path) for path in heads))
    final = _said(*parts, cache[last])
    factor, exact = _found_in(output, _said(None, 1.0, parts[2], entered))
    return Readout(*parts, factor, factor * final, exact), cache


def _last_state(lens: Lens, stream: StreamRecord) -> str:
    base = block_base(stream, len(stream.blocks) - 1)
    normalized = f"{base}.hook_normalized_resid_post"
    return normalized if normalized in lens.points.canonical else f"{base}.hook_resid_post"


def _head_paths(lens: Lens, stream: StreamRecord) -> list[str]:
    """Return the head, or where it is one of a list of modules, all of these."""
    parent, _, name = stream.unembed.rpartition(".")
    if not name.isdigit():
        return [stream.unembed]
    siblings = [path for path in lens.anatomy.by_path if path.rpartition(".")[0] == parent]
    return sorted(siblings, key=lambda path: int(path.rpartition(".")[2]))


def _found_in(output: object, said: Tensor) -> tuple[float, bool]:
    """Return the factor by which what the heads say is in the model's output, and whether it is there."""
    shapes = [said, said.transpose(1, 2).flatten(0, 1)] if said.dim() == 4 else [said]
    for _, tensor in leaves(output):
        for mine in shapes:
            if tensor.shape == mine.shape:
                factor = float((tensor * mine).sum() / (mine * mine).sum())
                if same(factor * mine, tensor):
                    return (1.0 if same(mine, tensor) else factor), True
    return 1.0, False
