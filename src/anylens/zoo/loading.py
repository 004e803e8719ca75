"""Loads the zoo's models from the package: no network, no pickle."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from anylens.core.errors import MissingExtraError, ZooError
from anylens.zoo import files
from anylens.zoo.catalogue import Entry, Kind, entry


def load_model(name: str, *, folder: Path | None = None) -> Any:
    """The model in its own class, in float32 and eval mode; for a pipeline, the pipeline with all its parts.

    folder: where its files are, if not in the package. Raises ZooError for an unknown name, and for a missing or
    damaged file, naming it.
    """
    known = entry(name)
    folder = folder or known.folder
    files.read_json(folder / (files.INDEX if known.kind == "pipeline" else files.CONFIG))
    files.check_weights(folder)
    if known.kind == "pipeline":
        return _pipeline(known, folder)
    return _READERS[known.kind](folder, _imported(known.model_class, extra=_extra(known)))


def load_processor(name: str, *, folder: Path | None = None) -> Any:
    """What turns raw input into the model's input: `load_processor(name)(picture, return_tensors="pt")`.

    Raises ZooError for an unknown name, a model without a processor, and a missing or damaged file, naming it.
    """
    known = entry(name)
    if known.processor_class is None:
        raise ZooError(f"{name} has no processor; docs/zoo.md says what it takes")
    folder = folder or known.folder
    for needed in known.processor_files:
        files.read_json(folder / needed)
    return _imported(known.processor_class).from_pretrained(folder, local_files_only=True)


def load_world(name: str) -> ModuleType:
    """The world that the model was trained on: a module of `anylens.zoo.worlds`, with `sample`."""
    return importlib.import_module(f"anylens.zoo.worlds.{entry(name).world}")


def card(name: str, *, folder: Path | None = None) -> dict[str, Any]:
    """How the model was made and what it scores: command, seed, steps, seconds, parameters, measured numbers."""
    return files.read_json((folder or entry(name).folder) / files.CARD)


# -- models of each kind -----------------------------------------------------------------------------------------


def _transformers(folder: Path, model_class: Any) -> nn.Module:
    from transformers.utils import logging

    with _without_progress_bar(logging):
        model, told = model_class.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    return _sound(model, told, folder)


def _diffusers(folder: Path, model_class: Any) -> nn.Module:
    from diffusers.utils import logging

    with _without_progress_bar(logging):
        model, told = model_class.from_pretrained(
            folder,
            torch_dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    return _sound(model, told, folder)


def _plain(folder: Path, model_class: Any) -> nn.Module:
    """A plain module: its class, or the class's `of`, makes it from what config.json holds."""
    from safetensors.torch import load_file

    with torch.random.fork_rng(devices=[]):
        model = getattr(model_class, "of", model_class)(**files.read_json(folder / files.CONFIG))
    missing, unexpected = model.load_state_dict(load_file(folder / files.WEIGHTS), strict=False)
    return _sound(model, {"missing": missing, "unexpected": unexpected}, folder)


_READERS: Mapping[Kind, Callable[[Path, Any], nn.Module]] = {
    "transformers": _transformers,
    "diffusers": _diffusers,
    "plain": _plain,
}


def _sound(model: Any, told: Mapping[str, Any], folder: Path) -> nn.Module:
    """The model in eval mode; raises ZooError where the file and the model do not fit each other."""
    faults = {kind: sorted(map(str, found)) for kind, found in told.items() if found}
    if faults:
        raise ZooError(f"the weights in {folder} do not fit {type(model).__name__}: {faults}")
    assert isinstance(model, nn.Module)
    return model.eval()


def _pipeline(known: Entry, folder: Path) -> Any:
    """A pipeline made of the parts that its index lists, those that it shares from where they are stored."""
    index = files.read_json(folder / files.INDEX)
    pipeline_class = _imported(known.model_class, extra="diffusers")
    wanted = inspect.signature(pipeline_class.__init__).parameters
    given = {name: _part(known, folder, name, listed) for name, listed in index.items() if name in wanted}
    pipeline = pipeline_class(**given)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _part(known: Entry, folder: Path, name: str, listed: Any) -> Any:
    """One part of a pipeline: what its index says as [library, class], or a setting as it stands there."""
    if name in known.shares:
        return load_model(known.shares[name])
    if not isinstance(listed, list) or len(listed) != 2:
        return listed
    library, class_name = listed
    if class_name is None:
        return None
    if library not in ("transformers", "diffusers"):
        raise ZooError(f"{folder / files.INDEX} is damaged: it takes {class_name} from {library!r}")
    part_class = _imported(f"{library}:{class_name}", extra="diffusers")
    if issubclass(part_class, nn.Module):
        return _READERS[library](folder / name, part_class)
    return part_class.from_pretrained(folder / name, local_files_only=True)


@contextlib.contextmanager
def _without_progress_bar(logging: Any) -> Iterator[None]:
    """Keep a library from drawing a bar for a load that takes a blink, and leave its setting as it was."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _extra(known: Entry) -> str:
    return "transformers" if known.kind == "transformers" else "diffusers"


def _imported(reference: str, *, extra: str = "transformers") -> Any:
    """What "module:name" refers to; raises MissingExtraError where its library is absent."""
    module, name = reference.split(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(module, extra=extra) from error
