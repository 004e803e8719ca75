"""The maps of attention and of the MLP, as views of the model's own parameters.

Which part of which parameter makes a head's queries is not read off names: a map is found by applying parameters to
what entered their modules in one run and comparing with the point, so fused, grouped and transposed ones come out
right, and what cannot be found is an error. (The maps are those of Elhage et al. 2021, "A Mathematical Framework for
Transformer Circuits", https://transformer-circuits.pub/2021/framework/index.html, in TransformerLens's shapes.)
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from anylens.analysis.maps.columns import Columns, find_columns
from anylens.analysis.maps.parameters import (
    Seen,
    Weight,
    as_rows,
    block_of,
    boundary_points,
    equal,
    seen_modules,
)
from anylens.analysis.maps.views import AttentionMaps, HeadMap, LinearMap, MlpMaps
from anylens.core.errors import AnatomyError, AxisError, RunError
from anylens.lens import Lens
from anylens.running.capture import Cache
from anylens.running.examples import as_arguments

_HEADS = ("batch", "pos", "head", "d_head")
_ROWS = 48  # how many rows are compared; that no other column agrees on


@torch.no_grad()
def attention_maps(lens: Lens, base: str, inputs: Any = None) -> AttentionMaps:
    """Return the maps behind q, k, v and o of one attention, such as `blocks.3.attn`.

    (Elhage et al. 2021, https://transformer-circuits.pub/2021/framework/index.html.)

    `inputs` are run once; by default the example that the model's family builds. On them the maps give what the points
    `hook_q`, `hook_k`, `hook_v` show (at position 0 alone, which rotation leaves as it is, where `then` says so).

    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> maps = attention_maps(lens, "blocks.1.attn")
    >>> maps.q.name, len(maps.q), list(maps.q[0].shape), list(maps.o[0].shape)
    ('transformer.h.1.attn.c_attn.weight', 4, [64, 16], [16, 64])

    Raises:
        AnatomyError: no parameter makes the point's values, or they go on through more than a linear map.
        AxisError: the points are not by position and head (windows, for example).
        UnknownPointError, AbsentPointError: no such attention.
    """
    names = {part: f"{base}.hook_{part}" for part in "qkvz"}
    for name in names.values():
        if lens.points[name].axes != _HEADS:
            raise AxisError(
                f"{name} has axes {' '.join(lens.points[name].axes)}; maps by head need {' '.join(_HEADS)}."
            )
    seen, cache = _look(lens, base, names.values(), inputs)
    q, k, v = (_reading(seen, cache[names[part]], names[part]) for part in "qkv")
    return AttentionMaps(base, q, k, v, _merging(seen, cache[names["z"]], names["z"]))


@torch.no_grad()
def mlp_maps(lens: Lens, base: str, inputs: Any = None) -> MlpMaps:
    """Return the maps of one MLP, such as `blocks.3.mlp`.

    >>> lens = anylens.load("zoo:grammar-gpt2")
    >>> mlp_maps(lens, "blocks.0.mlp").post.name
    'transformer.h.0.mlp.c_proj.weight'

    Raises as `attention_maps` does.
    """
    names = [f"{base}.hook_pre", f"{base}.hook_post"]
    gated = f"{base}.hook_pre_linear" in lens.points
    names += [f"{base}.hook_pre_linear"] if gated else []
    seen, cache = _look(lens, base, names, inputs)
    values = {name: _batched(cache[name]) for name in names}
    found = [_flat(_reading(seen, values[name].unsqueeze(2), name)) for name in (names[0], *names[2:])]
    return MlpMaps(base, found[0], found[1] if gated else None, output_map(seen, values[names[1]], names[1]))


def _batched(value: Tensor) -> Float[Tensor, "batch pos d_mlp"]:
    """Return a value with a batch: of one, where a model takes all positions as rows."""
    return value if value.dim() > 2 else value.unsqueeze(0)


def _look(lens: Lens, base: str, names: Iterable[str], inputs: Any) -> tuple[list[Seen], Cache]:
    """Run the lens once, and return what entered and left the modules of a block."""
    _, block, _ = block_of(lens, base)
    boundaries = boundary_points(lens, block)
    args, kwargs = as_arguments(inputs if inputs is not None else example_for(lens))
    _, cache = lens.run_with_cache(
        *args, points=[*(point.name for point in boundaries), *names], stop_early=True, **kwargs
    )
    return seen_modules(lens, block, cache), cache


def example_for(lens: Lens) -> Any:
    """Return the example input that the family of a lens's model builds.

    Raises RunError where there is none.
    """
    if lens.family is None or lens.family.example is None:
        raise RunError("No family builds an example for this model. Pass inputs= to run it on.")
    return lens.family.example_of(lens.model)


def _reading(seen: list[Seen], wanted: Float[Tensor, "batch pos head d_head"], name: str) -> HeadMap:
    """Return the map that makes a point's values out of what enters some module."""
    for target, then in _targets(seen, wanted):
        for rows, turned in ((slice(None), ""), (slice(0, 1), "rotated")):
            found = next(_made(seen, target, rows), None)
            if found is not None:
                return replace(found, then=", ".join(part for part in (then, turned) if part))
    raise AnatomyError(
        f"No two-dimensional parameter of the block makes {name} out of what enters its module, neither at every "
        "position nor at position 0. It may be quantised, adapted, or mixed with more than a rotation by position."
    )


def _targets(seen: list[Seen], wanted: Tensor) -> Iterator[tuple[Tensor, str]]:
    """Yield what a map may give: the point's value, and what a norm makes it of."""
    yield wanted, ""
    for module in seen:
        for out in () if module.weights else module.left:
            pairs = zip(_as_heads(out, wanted), _as_heads(module.entered[0], wanted), strict=False)
            for after, before in pairs:
                if equal(after[:, :1], wanted[:, :1]) and not equal(after, before):
                    turned = "" if equal(after, wanted) else ", rotated"
                    yield before, f"normalised by {module.path}{turned}"


def _as_heads(value: Tensor, like: Tensor) -> list[Tensor]:
    """Return a value in the shape of `[batch, pos, head, d_head]`, in each way that its own shape allows."""
    found = [value] if value.shape == like.shape else []
    if value.dim() == 4 and value.transpose(1, 2).shape == like.shape:
        found.append(value.transpose(1, 2))
    if value.dim() == 3 and value.shape == like.flatten(2).shape:
        found.append(value.unflatten(2, like.shape[2:]))
    return found


def _made(seen: list[Seen], wanted: Tensor, positions: slice) -> Iterator[HeadMap]:
    """Yield the maps that give a value at some positions."""
    batch, length = wanted.shape[:2]
    target = wanted[:, positions].flatten(0, 1)[:_ROWS]
    for module in seen:
        for weight, given in ((weight, given) for weight in module.weights for given in module.entered):
            for x in as_rows(given, batch, length) if given.shape[-1] == len(weight.matrix) else ():
                for y, bias in weight.applied(x[:, positions].flatten(0, 1)[:_ROWS]):
                    found = find_columns(target, y)
                    if found is not None:
                        yield _head_map(weight, bias, *found)


def _head_map(weight: Weight, bias: str, columns: tuple[Columns, ...], factor: float) -> HeadMap:
    biases = tuple(one.of(weight.biases[bias]) for one in columns) if bias else None
    return HeadMap(weight.name, tuple(one.of(weight.matrix) for one in columns), biases, factor)


def _flat(found: HeadMap) -> LinearMap:
    return LinearMap(found.name, found[0], found.biases[0] if found.biases else None)


def _merging(seen: list[Seen], z: Float[Tensor, "batch pos head d_head"], name: str) -> HeadMap:
    """Return the map that takes the heads' values to what attention gives."""
    whole = output_map(seen, z.flatten(2), name)
    heads = whole.matrix.unflatten(0, z.shape[2:]).unbind(0)
    return HeadMap(whole.name, heads, None if whole.bias is None else (whole.bias,))


def output_map(seen: list[Seen], x: Float[Tensor, "batch pos d_in"], name: str) -> LinearMap:
    """Return the map that takes a value to what leaves some module.

    Raises AnatomyError where no parameter does.
    """
    for module in seen:
        for weight in module.weights:
            if len(weight.matrix) != x.shape[-1]:
                continue
            for y, bias in weight.applied(x):
                left = (rows for out in module.left for rows in as_rows(out, *x.shape[:2]))
                if any(equal(y, rows) for rows in left):
                    return LinearMap(weight.name, weight.matrix, weight.biases[bias] if bias else None)
    raise AnatomyError(
        f"No two-dimensional parameter of the block takes {name} to what leaves its module. It may be quantised or "
        "adapted, or take more than that."
    )
