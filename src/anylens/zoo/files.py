"""The files of one zoo model: each written whole or not at all, and read back with every damage named.

A model's folder holds `config.json`, `model.safetensors` (float16), `preprocessor_config.json` where the model has a
processor, and `card.json`: how the weights were made, how large they are, their checksum and what was measured.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Protocol

import torch

from anylens.core.errors import ZooError

WEIGHTS = "model.safetensors"
CARD = "card.json"


class Saveable(Protocol):
    """Anything of transformers that writes its settings as JSON into a folder."""

    def save_pretrained(self, save_directory: Any, /) -> Any: ...


def write(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_bytes(content)
    os.replace(draft, path)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary as indented JSON, in its own order."""
    write(path, (json.dumps(content, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises ZooError naming the file where it is missing or damaged."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ZooError(f"{path} is missing; install anylens anew or train the model again") from None
    except ValueError as error:
        raise ZooError(
            f"{path} is damaged ({error}); install anylens anew or train the model again"
        ) from None
    if not isinstance(content, dict):
        raise ZooError(f"{path} holds a {type(content).__name__}; it must hold a JSON object")
    return content


def write_weights(model: torch.nn.Module, path: Path) -> str:
    """Write the model's parameters and buffers as float16 safetensors; returns the file's SHA-256."""
    from safetensors.torch import save

    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    content = save(state, metadata={"format": "pt"})
    write(path, content)
    return hashlib.sha256(content).hexdigest()


def check_weights(folder: Path) -> None:
    """Compare the weights with the checksum on the card; raises ZooError naming the file that is at fault."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise ZooError(f"{path} is missing; install anylens anew or train the model again")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    expected = read_json(folder / CARD).get("weights_sha256")
    if found != expected:
        raise ZooError(
            f"{path} is damaged: its SHA-256 is {found}, but {CARD} says {expected};"
            " install anylens anew or train the model again"
        )


def write_model(
    folder: Path, *, model: torch.nn.Module, settings: tuple[Saveable, ...], card: dict[str, Any]
) -> None:
    """Write a trained model's folder: settings (configuration, processor), weights and card.

    The card gains the number of parameters and the weights' size in bytes and SHA-256.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for setting in settings:
        setting.save_pretrained(folder)
    checksum = write_weights(model, folder / WEIGHTS)
    facts = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "weights_bytes": (folder / WEIGHTS).stat().st_size,
        "weights_sha256": checksum,
    }
    write_json(folder / CARD, card | facts)
