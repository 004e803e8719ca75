"""A training on disk: one file of safetensors, the same whether one process wrote it or several.

Tensors are whole: those that have a row for each latent are put together from the ranks that hold them. So a training
goes on with other ranks than it began with.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from anylens.core.errors import LoadError
from anylens.sae.base import Sae
from anylens.sae.ranks.group import Group
from anylens.sae.ranks.parallel import Parallel
from anylens.store.storage import write_whole

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class Held:
    """A tensor of a training, under its name in the file.

    Attributes:
        by_latent: whether it has a row, or a number, for each latent.
    """

    name: str
    tensor: Tensor
    by_latent: bool


def held_of(sae: Sae, optimiser: torch.optim.Optimizer) -> Iterator[Held]:
    """Yield weights, and what Adam keeps of each."""
    for name, tensor in sae.state_dict().items():
        yield Held(f"sae.{name}", tensor, name not in sae.common)
    for number, (name, weight) in enumerate(sae.named_parameters()):
        for kept, value in optimiser.state.get(weight, {}).items():
            tensor = torch.as_tensor(value)
            yield Held(f"adam.{number}.{kept}", tensor, name not in sae.common and tensor.ndim > 0)


def take_back(
    tensors: Iterable[tuple[str, Tensor]], sae: Sae, optimiser: torch.optim.Optimizer, parallel: Parallel
) -> Iterator[tuple[str, Tensor]]:
    """Put whole tensors back where `held_of` found them, and yield those that are of neither."""
    weights, places = dict(sae.named_parameters()), sae.state_dict()
    names = list(weights)
    for key, whole in tensors:
        owner, _, rest = key.partition(".")
        if owner == "sae":
            places[rest].copy_(parallel.own_latents(whole, by_latent=rest not in sae.common))
        elif owner == "adam":
            number, _, kept = rest.partition(".")
            name = names[int(number)]
            here = parallel.own_latents(whole, by_latent=name not in sae.common and whole.ndim > 0)
            here = here.to(weights[name].device) if here.ndim else here
            optimiser.state[weights[name]][kept] = here.clone()
        else:
            yield key, whole


def write(file: Path, held: Iterable[Held], parallel: Parallel, said: Mapping[str, Any]) -> None:
    """Write a checkpoint, whole or not at all. Every rank calls this, and the one that leads writes."""
    whole = {one.name: parallel.whole(one.tensor, by_latent=one.by_latent) for one in held}
    content = {name: tensor.contiguous() for name, tensor in whole.items() if tensor is not None}
    if content:
        write_whole(file, tensors_to_bytes(content, {"anylens": json.dumps(dict(said))}))


def read(file: Path, group: Group | None) -> tuple[dict[str, Any], Iterator[tuple[str, Tensor]]] | None:
    """Read a checkpoint: what was said, and whole tensors by name, one after the other; None if there is no such file.

    Several ranks get it from the one that leads. Raises LoadError, on all of them, if it is damaged.
    """
    if group is None:
        return _alone(file)
    return _together(file, group)


def _alone(file: Path) -> tuple[dict[str, Any], Iterator[tuple[str, Tensor]]] | None:
    if not file.exists():
        return None
    tensors, said = _read(file)
    return said, iter(tensors.items())


def _together(file: Path, group: Group) -> tuple[dict[str, Any], Iterator[tuple[str, Tensor]]] | None:
    tensors: dict[str, Tensor] = {}
    text = None
    if group.rank == 0 and file.exists():
        try:
            tensors, said = _read(file)
            text = json.dumps({"said": said, "shapes": {name: _shape(one) for name, one in tensors.items()}})
        except LoadError as error:
            text = json.dumps({"error": str(error)})
    text = group.text(text)
    if text is None:
        return None
    header = json.loads(text)
    if "error" in header:
        raise LoadError(header["error"])
    return header["said"], _broadcast(tensors, header["shapes"], group)


def _broadcast(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, Any], group: Group
) -> Iterator[tuple[str, Tensor]]:
    for name, (dtype, shape) in shapes.items():
        tensor = tensors[name] if name in tensors else torch.empty(shape, dtype=getattr(torch, dtype))
        group.broadcast(tensor)
        yield name, tensor


def _shape(tensor: Tensor) -> list[Any]:
    return [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        content = file.read_bytes()
        length = int.from_bytes(content[:8], "little")
        said = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["anylens"])
        return read_tensors(content), said
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise LoadError(f"{file} cannot be read: {error}. Remove it to begin anew.") from error
