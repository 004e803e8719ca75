"""Anatomies of models seen before, kept in memory and on disk by architecture and library versions."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from anylens.anatomy.anatomy import FORMAT, Anatomy
from anylens.anatomy.functions import StandIn, identity
from anylens.core import __version__
from anylens.core.errors import AnatomyError

_MEMORY: dict[str, Anatomy] = {}


def cache_folder() -> Path:
    """Return where anatomies are kept: `$ANYLENS_CACHE`, or `anylens` in the user's cache folder."""
    given = os.environ.get("ANYLENS_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "anylens"


def versions() -> tuple[tuple[str, str], ...]:
    """Return the versions that an anatomy depends on."""
    return (("anylens", __version__), ("torch", str(torch.__version__)))


def key_of(
    model: nn.Module, stand_ins: Iterable[StandIn] = (), given: Mapping[str, Any] = MappingProxyType({})
) -> str:
    """Return a key that two models share when they run the same code on tensors of the same shapes.

    It takes in the classes, names and settings of all modules, the shapes and dtypes of parameters and buffers, the
    config where the model has one, the versions of the libraries its classes come from, the stand-ins that its
    family has for functions, and those keyword arguments that say what is returned, such as `return_dict=False`.
    """
    digest = hashlib.blake2s(digest_size=16)

    def say(*words: object) -> None:
        digest.update(("|".join(map(str, words)) + "\n").encode())

    say(FORMAT, *versions(), _own_code(), identity(stand_ins))
    for library in sorted({type(module).__module__.partition(".")[0] for module in model.modules()}):
        with contextlib.suppress(metadata.PackageNotFoundError):
            say(library, metadata.version(library))
    for path, module in model.named_modules():
        say(path, type(module).__module__, type(module).__qualname__, module.training, module.extra_repr())
    for path, tensor in [*model.named_parameters(), *model.named_buffers()]:
        say(path, tuple(tensor.shape), tensor.dtype)
    say(_settings(getattr(model, "config", None)))
    say(getattr(vars(model).get("forward"), "__qualname__", ""))  # where it is not the class's own
    say(
        *sorted(f"{name}={value}" for name, value in given.items() if name.startswith(("return_", "output_")))
    )
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _own_code() -> str:
    """Return a digest of the code that reads anatomies: what other code read is not taken for its own."""
    digest = hashlib.blake2s(digest_size=8)
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _settings(config: Any) -> str:
    """Write a config's plain settings, those of its parts included, in a fixed order."""
    held = getattr(config, "__dict__", None) or (dict(config) if isinstance(config, dict) else {})
    parts = []
    for name in sorted(map(str, held)):
        value = held[name]
        plain = isinstance(value, (str, int, float, bool, list, tuple, dict, type(None), torch.dtype))
        parts.append(f"{name}={value!r}" if plain else f"{name}=({_settings(value)})")
    return ",".join(parts)


def recall(key: str) -> Anatomy | None:
    """Return the anatomy kept under a key, or None. A damaged file counts as none."""
    if key not in _MEMORY:
        file = cache_folder() / "anatomies" / f"{key}.json"
        with contextlib.suppress(OSError, AnatomyError):
            _MEMORY[key] = Anatomy.from_json(file.read_text(encoding="utf-8"))
    return _MEMORY.get(key)


def remember(anatomy: Anatomy) -> None:
    """Keep an anatomy. A disk that cannot be written costs a later watch, and nothing else."""
    _MEMORY[anatomy.key] = anatomy
    folder = cache_folder() / "anatomies"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(anatomy.to_json())
            os.replace(name, folder / f"{anatomy.key}.json")
        except OSError:
            Path(name).unlink(missing_ok=True)
