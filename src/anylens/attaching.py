"""Attach: from a model in memory to a lens on it."""

from typing import Any

import torch
from torch import nn

from anylens.anatomy.known import key_of, recall
from anylens.core.errors import AttachError, FamilyError
from anylens.families.family import Family, stand_ins_of
from anylens.families.registry import family_for, family_named
from anylens.lens import Lens
from anylens.pipelines import PipelineLens, components, is_pipeline
from anylens.running.examples import as_arguments, at_home
from anylens.running.methods import through


def attach(
    model: Any, example: Any = None, *, family: Family | str | None = None, method: str | None = None
) -> Lens:
    """Put a lens on a model that is already in memory.

    Args:
        model: any `nn.Module`, on any device, `meta` included; or a pipeline, a callable made of such modules.
        example: an input to watch one forward on: a tensor, a tuple of arguments, a dict of keyword arguments, a
            tokenizer's or processor's output. Without one, an anatomy known for this architecture is used, or the
            example that the model's family builds, or else the first run is watched.
        family: a family, or the name of one, to use in place of the one that claims the model.
        method: a method that runs the model without being its forward, such as `"encode"` or `"inverse"`: it is watched
            and run in the forward's place, with an example of what it takes.

    Raises:
        AttachError: `model` is not a module.
        FamilyConflictError: several families claim the model, and `family` does not say which to take.
        Whatever the model raises on the example, with a note of what was passed.
    """
    pipeline = is_pipeline(model)
    if not isinstance(model, nn.Module) and not pipeline:
        raise AttachError(
            f"attach takes a torch.nn.Module or a pipeline of such, and was given {type(model).__name__}."
        )
    for module in components(model).values() if pipeline else (model,):
        _expect_plain(module)
    if method is not None:
        if pipeline:
            raise AttachError(
                "attach takes a method of one model, and was given a pipeline. Pass the model in it."
            )
        model = through(model, method)
    if not isinstance(family, (Family, str, type(None))):
        raise FamilyError(f"family takes a family or the name of one, and was given {type(family).__name__}.")
    chosen = family_named(family) if isinstance(family, str) else family or family_for(model)
    known = None if pipeline or example is not None else recall(key_of(model, stand_ins_of(chosen, model)))
    lens = PipelineLens(model, family=chosen) if pipeline else Lens(model, anatomy=known, family=chosen)
    if example is not None:
        given = as_arguments(example, None if pipeline else model)
        lens.watch(given if pipeline else at_home(model, given))
    elif known is None and chosen is not None:
        _watch_example(lens, chosen)
    return lens


def _expect_plain(model: nn.Module) -> None:
    """Refuse modules whose forward is not Python: what they compute cannot be watched."""
    for path, module in model.named_modules():
        place = f"its module {path}" if path else "it"
        if isinstance(module, torch.jit.ScriptModule):
            raise AttachError(f"{type(model).__name__} cannot be watched: {place} is TorchScript.")
        if "_orig_mod" in module._modules or module.__dict__.get("_compiled_call_impl") is not None:
            raise AttachError(
                f"{type(model).__name__} cannot be watched: {place} was compiled. Attach to the model as it was before "
                "torch.compile: compiled._orig_mod, or a copy on which compile() was not called."
            )


def _watch_example(lens: Lens, family: Family) -> None:
    """Watch the example that a family builds; an error says that it was not the user's."""
    example = as_arguments(family.example_of(lens.model), lens.model)
    try:
        lens.watch(example if isinstance(lens, PipelineLens) else at_home(lens.model, example))
    except Exception as error:
        error.add_note(f"The example was built by the family {family.name!r}. Pass example=... to attach.")
        raise
