"""The files of one zoo model: weights are read back with every damage named.

A model's folder holds its configuration and weights (float16 safetensors) as its library names them, the files of its
processor where it has one, and `card.json`: how the weights were made, how large they are, their checksums and what was
measured. A pipeline's folder holds one such folder for each part of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from anylens.core.errors import ZooError

WEIGHTS = "model.safetensors"
DIFFUSERS_WEIGHTS = "diffusion_pytorch_model.safetensors"
CONFIG = "config.json"
INDEX = "model_index.json"
CARD = "card.json"
REMEDY = "install anylens anew or train the model again"


class Saveable(Protocol):
    """Anything of transformers that writes its settings as JSON into a folder."""

    def save_pretrained(self, save_directory: Any, /) -> Any: ...


# -- single files ------------------------------------------------------------------------------------------------


def write(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_bytes(content)
    os.replace(draft, path)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary as indented JSON, in its own order."""
    write(path, (json.dumps(content, indent=2) + "\n").encode())


def room(folder: Path) -> Path:
    """The folder, if a model may take its place: there is none, it is empty, or it holds a model of the zoo."""
    if folder.exists() and not (folder / CARD).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ZooError(f"{folder} is there and holds no model of the zoo; choose another folder")
    return folder


@contextmanager
def in_place_of(folder: Path) -> Iterator[Path]:
    """Give a new folder to write to; when all went well it takes the place of this one, which is lost then only."""
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft, old = (folder.with_name(f".{folder.name}.{end}") for end in ("new", "old"))
    for rest in (draft, old):
        shutil.rmtree(rest, ignore_errors=True)
    draft.mkdir()
    try:
        yield draft
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    draft.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises ZooError naming the file where it is missing or damaged."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ZooError(f"{path} is missing; {REMEDY}") from None
    except ValueError as error:
        raise ZooError(f"{path} is damaged ({error}); {REMEDY}") from None
    if not isinstance(content, dict):
        raise ZooError(f"{path} holds a {type(content).__name__}; it must hold a JSON object")
    return content


def write_weights(model: nn.Module, path: Path) -> None:
    """Write the model's parameters and buffers as float16 safetensors; what is tied to another is left out."""
    from safetensors.torch import save

    tied = getattr(model, "all_tied_weights_keys", None) or {}
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
        if name not in tied
    }
    write(path, save(state, metadata={"format": "pt"}))


def check_weights(folder: Path) -> None:
    """Compare the weights with the checksums on the card; raises ZooError naming the file that is at fault."""
    expected = read_json(folder / CARD).get("weights_sha256")
    if not isinstance(expected, Mapping) or not expected:
        raise ZooError(f"{folder / CARD} is damaged: it has no checksums of weights; {REMEDY}")
    for name, checksum in expected.items():
        path = folder / name
        if not path.is_file():
            raise ZooError(f"{path} is missing; {REMEDY}")
        found = _checksum(path)
        if found != checksum:
            raise ZooError(f"{path} is damaged: its SHA-256 is {found}, but {CARD} says {checksum}; {REMEDY}")


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- folders -----------------------------------------------------------------------------------------------------


def write_model(
    folder: Path,
    *,
    model: Any,
    settings: Iterable[Saveable] = (),
    config: dict[str, Any] | None = None,
    shared: Iterable[str] = (),
    card: dict[str, Any],
) -> None:
    """Write a trained model's folder: configuration, processor, weights and card.

    Args:
        folder: where to write; files of other names in it are left alone.
        model: a model of transformers or diffusers, a pipeline, or a plain module, which needs `config`.
        settings: what else to save beside the model, such as its processor.
        config: what makes a plain module again.
        shared: names of a pipeline's parts that are not stored here.
        card: what to say of the training; it gains the number of parameters and the weights' size and SHA-256.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for setting in settings:
        setting.save_pretrained(folder)
    if isinstance(model, nn.Module):
        written = [_write_module(folder, model, config)]
    else:
        written = _write_pipeline(folder, model, frozenset(shared))
    facts = {
        "parameters": parameters(model),
        "weights_bytes": sum(path.stat().st_size for path in written),
        "weights_sha256": {str(path.relative_to(folder)): _checksum(path) for path in written},
    }
    write_json(folder / CARD, card | facts)


def parameters(model: Any) -> int:
    """The number of parameters of a model, or of all parts of a pipeline."""
    modules = [model] if isinstance(model, nn.Module) else model.components.values()
    return sum(
        parameter.numel()
        for module in modules
        if isinstance(module, nn.Module)
        for parameter in module.parameters()
    )


def _write_module(folder: Path, model: Any, config: dict[str, Any] | None = None) -> Path:
    """Write a module's configuration and weights; returns the path of the weights."""
    name = WEIGHTS
    if config is not None:
        write_json(folder / CONFIG, config)
    elif hasattr(model, "save_config"):
        model.save_config(folder)
        name = DIFFUSERS_WEIGHTS
    else:
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(folder)
        generation = getattr(model, "generation_config", None)
        if generation is not None:
            generation.save_pretrained(folder)
    write_weights(model, folder / name)
    return folder / name


def _write_pipeline(folder: Path, pipeline: Any, shared: frozenset[str]) -> list[Path]:
    pipeline.save_config(folder)
    written = []
    for name, part in pipeline.components.items():
        if part is None or name in shared or not hasattr(part, "save_pretrained"):
            continue
        if isinstance(part, nn.Module):
            written.append(_write_module(folder / name, part))
        else:
            part.save_pretrained(folder / name)
    return written
