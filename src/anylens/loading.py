"""Loads a model by name and puts a lens on it: a hub id, a folder, a GGUF file, or a model of the zoo."""

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from safetensors import SafetensorError
from torch import nn

from anylens.attaching import attach
from anylens.core.errors import LoadError
from anylens.core.optional import require
from anylens.families.family import Family
from anylens.families.registry import family_for, family_named
from anylens.lens import Lens

CONFIG, PIPELINE = "config.json", "model_index.json"
PROCESSOR_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "processor_config.json",
)
# Where a config does not name its class, the first of these that knows it gives the class.
TASKS = (
    "AutoModelForSeq2SeqLM",
    "AutoModelForMaskedLM",
    "AutoModelForCausalLM",
    "AutoModelForImageClassification",
    "AutoModel",
)
HUB_OPTIONS = ("revision", "cache_dir", "token", "local_files_only", "subfolder")
FIXED = {
    "trust_remote_code": "Code from a hub is never run",
    "use_safetensors": "Weights are read from safetensors only",
    "output_loading_info": "What is missing is told as a warning",
}


@dataclass(frozen=True)
class Source:
    """Where a model is: a hub id, or a folder with the name of a GGUF file where it is in one."""

    place: str
    folder: Path | None = None
    gguf: str = ""
    pipeline: bool = False


def load(
    name: str | Path, *, example: Any = None, family: Family | str | None = None, **options: Any
) -> Lens:
    """Load a model by name and attach to it; `lens.processor` turns raw input into tensors where there is one.

    Args:
        name: a hub id or a local folder, of a model or of a diffusers pipeline; a GGUF file; or
            `zoo:NAME` for a model that ships with anylens.
        example: an input to watch one forward on; without it the family's own is used.
        family: a family, or the name of one, to use in place of the one that claims the model.
        **options: what transformers' or, for a pipeline, diffusers' `from_pretrained` takes, such as
            `dtype`, `revision`, `attn_implementation`.

    Raises:
        LoadError: there is no such model, it cannot be reached, or what is there cannot be read safely.
        MissingExtraError: transformers or gguf is not installed.
        ZooError: there is no such model in the zoo.
    """
    _refuse(options)
    lens = _loaded(name, dict(options), example=example, family=family)
    lens.made_by = partial(load, name, example=example, family=family, **options)
    return lens


def _loaded(name: str | Path, options: dict[str, Any], *, example: Any, family: Family | str | None) -> Lens:
    """Load the model and attach to it."""
    if str(name).startswith("zoo:"):
        return _from_zoo(str(name).removeprefix("zoo:"), options, example=example, family=family)
    source = find(name, gguf=options.pop("gguf_file", ""))
    if source.pipeline:
        return attach(_pipeline(source, options), example, family=family)
    try:
        model = _model(source, options)
    except LoadError as error:
        if source.folder is not None or not _lacks_config(error):
            raise
        return attach(_pipeline(source, options), example, family=family)
    chosen = family_named(family) if isinstance(family, str) else family or family_for(model)
    processor = _processor(source, chosen, options)
    lens = attach(model, example, family=chosen)
    lens.processor = processor
    return lens


def find(name: str | Path, gguf: str = "") -> Source:
    """Say where a name leads; raises LoadError where it leads nowhere, naming what was looked for."""
    if not isinstance(name, (str, Path)):
        raise LoadError(f"load takes a name or a path, and was given {type(name).__name__}.")
    path = Path(name).expanduser()
    if path.is_dir():
        return _in_folder(path, gguf)
    if path.is_file():
        if path.suffix == ".gguf":
            return Source(str(path.parent), path.parent, path.name)
        raise LoadError(f"{path} is a file. Give the folder that holds it, or a .gguf file.")
    if isinstance(name, Path) or not re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", name):
        raise LoadError(f"There is no folder {path}, and the name is not a hub id such as 'owner/model'.")
    return Source(name, gguf=gguf)


# -- folders -----------------------------------------------------------------------------------------------------


def _in_folder(folder: Path, gguf: str) -> Source:
    names = sorted(file.name for file in folder.iterdir())
    ggufs = [name for name in names if name.endswith(".gguf")]
    if gguf and gguf not in names:
        raise LoadError(f"{folder} holds no {gguf}. It holds {_listed(ggufs or names)}.")
    weights = [name for name in names if name.endswith(".safetensors")]
    if gguf or (ggufs and not weights):
        if not gguf and len(ggufs) > 1:
            raise LoadError(f"{folder} holds {len(ggufs)} GGUF files: {_listed(ggufs)}. Pass gguf_file=NAME.")
        return Source(str(folder), folder, gguf or ggufs[0])
    if PIPELINE in names:
        _expect_index(folder / PIPELINE)
        return Source(str(folder), folder, pipeline=True)
    if CONFIG not in names:
        raise LoadError(
            f"{folder} holds no model: looked for {CONFIG}, *.gguf and {PIPELINE}, found {_listed(names)}."
        )
    if not weights:
        raise LoadError(
            f"{folder} holds {CONFIG} but no weights: looked for *.safetensors, found {_listed(names)}. "
            "Pickled weights (*.bin, *.pt) are not read; convert them to safetensors."
        )
    return Source(str(folder), folder)


def _expect_index(file: Path) -> None:
    """Refuse a folder whose index names no pipeline."""
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LoadError(f"{file} of a diffusers pipeline cannot be read: {_line(error)}") from error
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise LoadError(f"{file} names no class of a diffusers pipeline (_class_name).")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more if names else "nothing"


# -- transformers ------------------------------------------------------------------------------------------------


def _model(source: Source, options: dict[str, Any]) -> nn.Module:
    """Load the model in the class that its config names, in eval mode."""
    transformers = require("transformers", extra="transformers")
    common = {**_hub_options(source, options), "trust_remote_code": False}
    if source.gguf:
        require("gguf", extra="gguf")
        require("accelerate", extra="gguf")
    else:
        common["use_safetensors"] = True
    with _told_plainly(source):
        config = transformers.AutoConfig.from_pretrained(
            source.place, **_hub_options(source, options), trust_remote_code=False
        )
        model, told = _class_for(transformers, config).from_pretrained(
            source.place, config=config, output_loading_info=True, **{**options, **common}
        )
    _warn_of_missing(source, told.get("missing_keys") or ())
    loaded: nn.Module = model.eval()
    return loaded


def _pipeline(source: Source, options: dict[str, Any]) -> Any:
    """Load a pipeline of diffusers, its models in eval mode."""
    diffusers = require("diffusers", extra="diffusers")
    with _told_plainly(source):
        return diffusers.DiffusionPipeline.from_pretrained(
            source.place, **options, use_safetensors=True, trust_remote_code=False
        )


def _lacks_config(error: LoadError) -> bool:
    """Whether a repository of the hub was reached and has no config of a model: a pipeline's has none at its top."""
    missing = require("huggingface_hub", extra="transformers").errors.EntryNotFoundError
    local = require("huggingface_hub", extra="transformers").errors.LocalEntryNotFoundError
    return any(isinstance(cause, missing) and not isinstance(cause, local) for cause in _causes(error))


def _class_for(transformers: ModuleType, config: Any) -> Any:
    """Return the class that a config names, or the Auto class of the first task that knows the config."""
    for name in config.architectures or ():
        if hasattr(transformers, name):
            return getattr(transformers, name)
    auto = [getattr(transformers, task) for task in TASKS]
    return next((one for one in auto if type(config) in one._model_mapping), auto[-1])


def _processor(source: Source, family: Family | None, options: dict[str, Any]) -> Any:
    """Load the tokenizer or processor, or return None where there is none."""
    if not _may_have_processor(source):
        return None
    transformers = require("transformers", extra="transformers")
    kind = (family.preprocess if family is not None else "") or "AutoProcessor"
    try:
        return getattr(transformers, kind).from_pretrained(
            source.place, **_hub_options(source, options), trust_remote_code=False
        )
    except (OSError, ValueError, ImportError, AttributeError) as error:
        warnings.warn(
            f"lens.processor is None: transformers.{kind} could not be loaded from {source.place}: {_line(error)}",
            stacklevel=3,
        )
        return None


def _may_have_processor(source: Source) -> bool:
    """Whether to look for one: in a folder without its files transformers would make an empty one up."""
    if source.folder is None or source.gguf:
        return True
    return any((source.folder / name).exists() for name in PROCESSOR_FILES)


def _hub_options(source: Source, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that say where files are, which config, weights and processor share."""
    shared = {name: options[name] for name in HUB_OPTIONS if name in options}
    return {**shared, "gguf_file": source.gguf} if source.gguf else shared


@contextmanager
def _told_plainly(source: Source) -> Iterator[None]:
    """Turn what transformers raises into a LoadError that says what is the matter."""
    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:
        if source.folder is not None:
            raise LoadError(f"{source.place} could not be loaded: {_line(error)}") from error
        raise LoadError(_unreachable(source.place, error)) from error


def _unreachable(place: str, error: Exception) -> str:
    hub = require("huggingface_hub", extra="transformers")
    kinds = hub.errors
    causes = list(_causes(error))

    def is_of(*kind: type) -> bool:
        return any(isinstance(cause, kind) for cause in causes)

    hint = "Give a local folder, or load the model yourself and pass it to anylens.attach."
    if is_of(kinds.GatedRepoError):
        return f"{place} is gated on the hub: ask for access there and log in (`hf auth login`), or pass token=... ."
    if is_of(kinds.RepositoryNotFoundError):
        return (
            f"The hub has no model {place!r}, or it is private (pass token=...). It is no folder here either."
        )
    if is_of(kinds.OfflineModeIsEnabled) or (is_of(kinds.LocalEntryNotFoundError) and hub.is_offline_mode()):
        return (
            f"{place!r} is not in the local cache, and the hub is switched off (HF_HUB_OFFLINE). It is no folder here "
            f"either. {hint}"
        )
    if is_of(kinds.LocalEntryNotFoundError, ConnectionError):
        return f"The hub could not be reached for {place!r}, and it is not in the local cache. {hint}"
    return f"{place!r} could not be loaded from the hub: {_line(error)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _warn_of_missing(source: Source, names: Any) -> None:
    """Say which weights the files lacked: transformers makes them up at random."""
    missing = sorted(names)
    if missing:
        warnings.warn(
            f"{source.place} lacks {len(missing)} weights of the model, which are random now: {_listed(missing)}.",
            stacklevel=4,
        )


# -- the rest ----------------------------------------------------------------------------------------------------


def _refuse(options: dict[str, Any]) -> None:
    for name, why in FIXED.items():
        if name in options:
            raise LoadError(
                f"load takes no {name}. {why}; to do otherwise, load the model yourself and pass it to anylens.attach."
            )


def _from_zoo(name: str, options: dict[str, Any], *, example: Any, family: Family | str | None) -> Lens:
    """Put a lens on a model of the zoo; it brings its processor or tokenizer, and its world."""
    from anylens import zoo

    if options:
        raise LoadError(f"Models of the zoo take no options, and {', '.join(options)} was given.")
    lens = attach(zoo.load_model(name), example, family=family)
    has_processor = zoo.entry(name).processor_class is not None
    lens.processor = zoo.load_processor(name) if has_processor else getattr(lens.model, "tokenizer", None)
    lens.world = zoo.load_world(name)
    return lens
