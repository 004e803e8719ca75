"""A family: what behaviour cannot show about some models, as one frozen value.

The structure of a model is watched, never looked up. A family adds what watching needs (an example input) and what it
cannot give (names people use, where in the input a position lies, how raw input becomes tensors).
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from anylens.anatomy.anatomy import Anatomy
from anylens.anatomy.functions import StandIn
from anylens.anatomy.rename import rename, rename_axes
from anylens.core.errors import FamilyError
from anylens.families.layouts import Layout
from anylens.families.named import Named, add_named


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Which models a family claims.

    A model is claimed if its config's `model_type` is listed, or the name of its class or of one it derives from
    matches one of `classes`, or `when` says so; and if its forward takes every argument in `takes`.

    Attributes:
        model_types: values of `model.config.model_type`.
        classes: globs over class names; with a dot in it, over `module.Class`.
        takes: names of arguments, so that a part which carries the whole model's config is not taken for it.
        when: for what data cannot say. It must be quick, and must not change the model.
    """

    model_types: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    when: Callable[[nn.Module], bool] | None = None

    def claims(self, model: nn.Module) -> bool:
        """Whether a model is one of these."""
        known = (
            getattr(getattr(model, "config", None), "model_type", None) in self.model_types
            or any(_is_named(base, pattern) for base in type(model).__mro__ for pattern in self.classes)
            or (self.when is not None and self.when(model))
        )
        return known and (
            not self.takes or set(self.takes) <= inspect.signature(model.forward).parameters.keys()
        )


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family. `name`, `matches` and `example` must be given; `check.problems_of` says what each field must be.

    Attributes:
        name: what errors and `attach(family=...)` call it.
        matches: which models it claims. For all others it is never asked anything.
        example: builds an example input from a model's config: a dict of keyword arguments, or a tuple. Sizes that
            differ from each other (batch, positions, heads) let axes be told apart.
        prefixes: path of a component in the model -> its name, for models with several streams:
            `{"vision_model": "vision"}`. A `*` is any one word: `{"down_blocks.*": "down.*"}`. Where several streams
            run through the same blocks, the argument by which one enters -> its name.
        points: further points by name, with axes of their own: `{"codes": Named("quantizer.hook_out", "batch pos")}`;
            or a function from the model to that.
        axes: what watching calls an axis -> what the field does: `{"window": "channel"}`.
        aliases: further names -> names or globs of points. `{i}` in both is the number of a block.
        stand_ins: what shows the inside of functions of Python: see `anylens.anatomy.functions.StandIn`. Or a function
            from the model to that.
        layout: where in the input a position lies, or a function from the model to that.
        preprocess: the Auto class of transformers that turns raw input into tensors: `"AutoTokenizer"`.
        step: path of the module one call of which is a step of a run, or a function from the model to that; the
            model itself where it is empty.
        conditional: from the model or pipeline and the arguments of a step, which rows of the batch follow the prompt
            and which are the unconditional half of classifier-free guidance; None where it cannot be told.
    """

    name: str = ""
    matches: Matches = field(default_factory=Matches)
    example: Callable[[nn.Module], Any] | None = None
    prefixes: Mapping[str, str] = field(default_factory=dict)
    points: Mapping[str, Named] | Callable[[nn.Module], Mapping[str, Named]] = field(default_factory=dict)
    axes: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    stand_ins: tuple[StandIn, ...] | Callable[[nn.Module], tuple[StandIn, ...]] = ()
    layout: Layout | Callable[[nn.Module], Layout | None] | None = None
    preprocess: str = ""
    step: str | Callable[[nn.Module], str] = ""
    conditional: Callable[[Any, Mapping[str | int, Any]], Sequence[bool] | None] | None = None

    def rows_of(self, model: Any, given: Mapping[str | int, Any]) -> tuple[bool, ...] | None:
        """Say which rows of a step follow the prompt, for a model or pipeline; None where nothing says so."""
        rows = self.conditional(model, given) if self.conditional is not None else None
        return None if rows is None else tuple(map(bool, rows))

    def example_of(self, model: nn.Module) -> Any:
        """Build the example input for a model, on the model's device and in its precision.

        Raises FamilyError if the family cannot build one.
        """
        try:
            given = self.example(model) if self.example is not None else None
        except Exception as error:
            raise FamilyError(
                f"Family {self.name!r} could not build an example for {type(model).__name__}: "
                f"{type(error).__name__}: {error}. Pass example=... to attach."
            ) from error
        if not isinstance(given, (Mapping, tuple, torch.Tensor)):
            raise FamilyError(
                f"Family {self.name!r}, field example: expected a dict of arguments, a tuple or a tensor, "
                f"found {type(given).__name__}. Pass example=... to attach."
            )
        return _at_home(given, model)

    def named(self, anatomy: Anatomy, model: nn.Module) -> Anatomy:
        """Return an anatomy with its components and points named as this family does.

        Raises FamilyError where the axes of a named point do not fit its value.
        """
        points = self.points if isinstance(self.points, Mapping) else self.points(model)
        called = rename_axes(rename(anatomy, self.prefixes), self.axes)
        return add_named(called, points, getattr(model, "config", None))

    def aliases_of(self, anatomy: Anatomy) -> dict[str, str]:
        """Return the aliases with every block's number filled in."""
        longest = max((len(stream.blocks) for stream in anatomy.streams), default=0)
        found = {}
        for alias, name in self.aliases.items():
            for number in range(longest) if "{i}" in alias else (0,):
                found[alias.replace("{i}", str(number))] = name.replace("{i}", str(number))
        return found

    def step_of(self, model: nn.Module) -> str:
        """Return the path of the module one call of which is a step."""
        return self.step if isinstance(self.step, str) else self.step(model)

    def stand_ins_of(self, model: nn.Module) -> tuple[StandIn, ...]:
        """Return the stand-ins for functions that a model calls."""
        return self.stand_ins(model) if callable(self.stand_ins) else self.stand_ins

    def layout_of(self, model: nn.Module) -> Layout | None:
        """Return the layout of a model's positions, or None where the family names none."""
        found = self.layout
        if found is None or isinstance(found, Layout):
            return found
        return found(model)


def stand_ins_of(family: Family | None, model: nn.Module) -> tuple[StandIn, ...]:
    """Return the stand-ins that a model's family has for functions; none where there is no family."""
    return family.stand_ins_of(model) if family is not None else ()


def _is_named(kind: type, pattern: str) -> bool:
    name = f"{kind.__module__}.{kind.__qualname__}" if "." in pattern else kind.__name__
    return fnmatchcase(name, pattern)


def _at_home(value: Any, model: Any) -> Any:
    """Move tensors to a model's device, and floating ones to its precision."""
    held = model.parameters() if isinstance(model, nn.Module) else ()
    weights = [weight for weight in held if weight.is_floating_point()]
    if isinstance(value, Mapping):
        return {name: _at_home(item, model) for name, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_at_home(item, model) for item in value)
    if not isinstance(value, torch.Tensor) or not weights:
        return value
    return value.to(weights[0].device, weights[0].dtype if value.is_floating_point() else None)
