"""Loads the zoo's models from the package: no network, no pickle."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from anylens.core.errors import MissingExtraError, ZooError
from anylens.zoo import files
from anylens.zoo.catalogue import entry


def load_model(name: str, *, folder: Path | None = None) -> torch.nn.Module:
    """The model in its own class, in float32 and eval mode.

    folder: where its files are, if not in the package. Raises ZooError for an unknown name, and for a missing or
    damaged file, naming it.
    """
    known = entry(name)
    folder = folder or known.folder
    files.read_json(folder / "config.json")
    files.check_weights(folder)
    model_class = _imported(known.model_class)
    with _without_progress_bar():
        model, loaded = model_class.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    faults = {kind: sorted(map(str, found)) for kind, found in loaded.items() if found}
    if faults:
        raise ZooError(f"{folder / files.WEIGHTS} does not fit {known.model_class}: {faults}")
    assert isinstance(model, torch.nn.Module)
    return model.eval()


def load_processor(name: str, *, folder: Path | None = None) -> Any:
    """What turns raw input into the model's input: `load_processor(name)(picture, return_tensors="pt")`.

    Raises ZooError for an unknown name, a model without a processor, and a missing or damaged file, naming it.
    """
    known = entry(name)
    if known.processor_class is None:
        raise ZooError(f"{name} has no processor: it takes tensors as its world gives them")
    folder = folder or known.folder
    files.read_json(folder / "preprocessor_config.json")
    return _imported(known.processor_class).from_pretrained(folder, local_files_only=True)


def card(name: str, *, folder: Path | None = None) -> dict[str, Any]:
    """How the model was made and what it scores: command, seed, steps, seconds, parameters, measured numbers."""
    return files.read_json((folder or entry(name).folder) / files.CARD)


@contextlib.contextmanager
def _without_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing a bar for a load that takes a blink, and leave its setting as it was."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _imported(reference: str) -> Any:
    """What "module:name" refers to; raises MissingExtraError where its library is absent."""
    module, name = reference.split(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(module, extra="transformers") from error
