"""A lens: a model with its anatomy and its points. The run methods, nothing more."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from anylens.anatomy.anatomy import Anatomy
from anylens.anatomy.derive import derive
from anylens.anatomy.known import key_of, recall, remember, versions
from anylens.anatomy.lookup import Points
from anylens.anatomy.observe import observe
from anylens.core.errors import AnylensError, AttachError, FamilyError, RunError
from anylens.families.family import Family
from anylens.families.layouts import Layout
from anylens.families.registry import family_for, family_named
from anylens.running.actions import Edit, Hooks, listed_hooks
from anylens.running.capture import Cache, Capture, CaptureGraph, To, targets
from anylens.running.examples import Arguments, as_arguments, at_home, describe, method_of, unpack
from anylens.running.run import Run
from anylens.running.sites import Plan
from anylens.running.steps import Choice, Chooser, Steps, Trail
from anylens.running.taps import taps


class Lens:
    """A model with named points that can be read and edited while it runs.

    Made by `anylens.attach` or `anylens.load`. The model stays as it is: hooks are on it during a run only.
    """

    def __init__(
        self, model: nn.Module, *, anatomy: Anatomy | None = None, family: Family | None = None
    ) -> None:
        self.model = model
        self.family = family
        self.processor: Any = None  # what turns raw input into tensors; `anylens.load` brings it
        self._anatomy = self._named(anatomy) if anatomy is not None else None
        self._points: Points | None = None
        self._attached = True

    # -- what there is -------------------------------------------------------------------------------------------

    @property
    def anatomy(self) -> Anatomy:
        """The structure of the model.

        Raises AttachError if no forward has been watched yet: pass `example=` to `attach`, or run the lens once.
        """
        if self._anatomy is None:
            raise AttachError(
                "This model has not been watched yet, so its points are not known. "
                "Pass example=... to attach, or call run_with_cache once: the first run is watched."
            )
        return self._anatomy

    @property
    def points(self) -> Points:
        """The points of the model: a table when shown, a mapping from name to point, with `find` for globs."""
        if self._points is None:
            self._points = Points(self.anatomy, self._aliases())
        return self._points

    @property
    def layout(self) -> Layout | None:
        """Where in the input a position lies, as the model's family says; None where nobody says."""
        return self.family.layout_of(self.model) if self.family is not None else None

    def _aliases(self) -> Mapping[str, str]:
        return self.family.aliases_of(self.anatomy) if self.family is not None else {}

    def _named(self, anatomy: Anatomy) -> Anatomy:
        return self.family.named(anatomy, self.model) if self.family is not None else anatomy

    def watch(self, given: Arguments, method: Any = None) -> Anatomy:
        """Watch one forward on these arguments, and keep the anatomy it shows."""
        args, kwargs = given
        call = method_of(self.model, method)
        try:
            trace = observe(self.model, call, args, kwargs)
        except AnylensError:
            raise
        except Exception as error:
            error.add_note(
                f"anylens ran {type(self.model).__name__} once to watch it, with {describe(given)}."
            )
            raise
        if not trace.calls:
            raise AttachError(
                f"The call never entered {type(self.model).__name__}, so nothing could be watched."
            )
        found = derive(trace, key_of(self.model), versions())
        remember(found)  # as behaviour shows it; what a family calls things is not kept
        self._anatomy = self._named(found)
        self._points = None
        return self._anatomy

    # -- running -------------------------------------------------------------------------------------------------

    def run_with_cache(
        self,
        *args: Any,
        points: str | Iterable[str],
        method: Any = None,
        stop_early: bool = False,
        grad: bool = False,
        to: To | tuple[To, ...] = None,
        **kwargs: Any,
    ) -> tuple[Any, Cache]:
        """Call the model and capture the values at some points.

        Args:
            *args, **kwargs: what the model takes; a lone dict or tokenizer output is taken as keyword arguments.
            points: names or globs.
            method: the method to call in place of the model itself, such as `"generate"`, or any callable.
            stop_early: end the forward after the last point asked for; the output is then None.
            grad: keep the graph, so that gradients reach the captured values.
            to: a device or dtype for the captured copies, or both.

        Returns:
            The model's output and a cache with exactly one tensor for each name.

        Raises:
            UnknownPointError, AbsentPointError: a name that this model does not have.
            RunError: a point was not reached in this run, or more than once.
        """
        given = unpack(args, kwargs)
        self._know(given, method)
        cache = Cache(self.points.aliases)
        plan = Plan()
        moved = targets(to)
        for point in self.points.select(points):
            action = CaptureGraph(point, cache) if grad else Capture(point, cache, moved)
            plan.add(point, action, edits=grad)
        with torch.enable_grad() if grad else nullcontext():
            output = self._call(given, method, Run(self.model, self.anatomy, plan, stop_early=stop_early))
        return output, cache

    def record(
        self,
        *args: Any,
        points: str | Iterable[str],
        steps: Choice = None,
        method: Any = None,
        hooks: Hooks | None = None,
        to: To | tuple[To, ...] = None,
        **kwargs: Any,
    ) -> tuple[Any, Steps]:
        """Run code that calls the model again and again, and capture the values at some points step by step.

        Args:
            *args, **kwargs, method, points, to: as for `run_with_cache`.
            steps: which steps are kept: an int, a list in any order, a slice, a predicate on the step's number;
                numbers below zero count from the end. Each point counts its own steps.
            hooks: edits to make meanwhile, as for `run_with_hooks`; what is captured is what went on after them.

        Returns:
            What the code returned, and the steps, of which there may be fewer than chosen if the run ended early.

        Raises:
            UnknownPointError, AbsentPointError: a name that this model does not have.
            RunError: a point was not reached.
        """
        given = unpack(args, kwargs)
        self._know(given, method)
        plan = self._edits(hooks or {})
        trails = [Trail(point, Chooser(steps), targets(to)) for point in self.points.select(points)]
        for trail in trails:
            plan.add(trail.point, trail, edits=False)
        return self._call(given, method, Run(self.model, self.anatomy, plan)), Steps(trails)

    def run_with_hooks(self, *args: Any, hooks: Hooks, method: Any = None, **kwargs: Any) -> Any:
        """Call the model with hooks at some points, and return its output.

        `hooks` maps names or globs to a function `fn(value, at)`, an intervention, or a list of these, which act in
        order. A function gets a copy of the value; what it returns takes the value's place, None keeps it.
        """
        given = unpack(args, kwargs)
        self._know(given, method)
        return self._call(given, method, Run(self.model, self.anatomy, self._edits(hooks)))

    @contextmanager
    def hooks(self, hooks: Hooks) -> Iterator["Lens"]:
        """Keep hooks in place for any code that calls the model inside the `with`."""
        self._expect_attached()
        run = Run(self.model, self.anatomy, self._edits(hooks))
        with taps(run):
            yield self
        if run.step >= 0:
            _expect_visits(run)

    def detach(self) -> None:
        """End the use of this lens. Nothing of it is on the model, before or after."""
        self._attached = False

    # -- helpers -------------------------------------------------------------------------------------------------

    def _know(self, given: Arguments, method: Any) -> None:
        """Watch the first run, if nothing was watched before."""
        self._expect_attached()
        if self._anatomy is None:
            self.watch(given, method)

    def _expect_attached(self) -> None:
        if not self._attached:
            raise RunError("This lens was detached. Attach a new one.")

    def _edits(self, hooks: Hooks) -> Plan:
        plan = Plan()
        for pattern, listed in listed_hooks(hooks):
            for point in self.points.select(pattern):
                for hook in listed:
                    plan.add(point, Edit(point, hook), edits=True)
        return plan

    def _call(self, given: Arguments, method: Any, run: Run) -> Any:
        args, kwargs = given
        output = None
        with taps(run):
            output = method_of(self.model, method)(*args, **kwargs)
        _expect_visits(run)
        return output

    def __repr__(self) -> str:
        return f"Lens on {type(self.model).__name__}" + (
            f"\n{self.points!r}" if self._anatomy else ", not watched yet"
        )


def _expect_visits(run: Run) -> None:
    """Refuse a run in which a point was not reached: an edit without effect is never passed over."""
    silent = [site.point.name for site in run.plan.sites if not site.visits]
    if silent:
        more = f" and {len(silent) - 3} more" if len(silent) > 3 else ""
        raise RunError(
            f"{', '.join(silent[:3])}{more} was not reached in this run: it took another way through the model than "
            "the watched forward. Attach again with an example like this input."
        )


def attach(model: Any, example: Any = None, *, family: Family | str | None = None) -> Lens:
    """Put a lens on a model that is already in memory.

    Args:
        model: any `nn.Module`, on any device, `meta` included.
        example: an input to watch one forward on: a tensor, a tuple of arguments, a dict of keyword arguments, a
            tokenizer's or processor's output. Without one, an anatomy known for this architecture is used, or the
            example that the model's family builds, or else the first run is watched.
        family: a family, or the name of one, to use in place of the one that claims the model.

    Raises:
        AttachError: `model` is not a module.
        FamilyConflictError: several families claim the model, and `family` does not say which to take.
        Whatever the model raises on the example, with a note of what was passed.
    """
    if not isinstance(model, nn.Module):
        raise AttachError(f"attach takes a torch.nn.Module, and was given {type(model).__name__}.")
    _expect_plain(model)
    if not isinstance(family, (Family, str, type(None))):
        raise FamilyError(f"family takes a family or the name of one, and was given {type(family).__name__}.")
    chosen = family_named(family) if isinstance(family, str) else family or family_for(model)
    known = recall(key_of(model)) if example is None else None
    lens = Lens(model, anatomy=known, family=chosen)
    if example is not None:
        lens.watch(at_home(model, as_arguments(example)))
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
    example = family.example_of(lens.model)
    try:
        lens.watch(at_home(lens.model, as_arguments(example)))
    except Exception as error:
        error.add_note(f"The example was built by the family {family.name!r}. Pass example=... to attach.")
        raise
