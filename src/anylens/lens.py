"""A lens: a model with its anatomy and its points. The run methods, nothing more."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from anylens.anatomy.anatomy import Anatomy
from anylens.anatomy.lookup import Points
from anylens.core import arguments
from anylens.core.errors import AttachError, RunError
from anylens.families.family import Family, stand_ins_of
from anylens.families.layouts import Layout
from anylens.running.actions import Edit, Hooks, listed_hooks
from anylens.running.capture import Cache, Capture, CaptureGraph, To, targets
from anylens.running.choice import Choice, Chooser
from anylens.running.clock import Clock, step_module
from anylens.running.examples import Arguments, called, method_of, unpack
from anylens.running.iterate import Host, Iteration, Look
from anylens.running.relay import Relay
from anylens.running.run import Run, Tally, expect_visits
from anylens.running.shelf import target_of
from anylens.running.sites import Plan, plan_with
from anylens.running.splices import Coder, Splice, points_inside, splices_of
from anylens.running.step import Step, read_step
from anylens.running.steps import Steps, Trail
from anylens.running.taps import under_way
from anylens.running.watched import watched


class Lens:
    """A model with named points that can be read and edited while it runs.

    Made by `anylens.attach` or `anylens.load`. The model stays as it is: hooks are on it during a run only.
    """

    def __init__(
        self, model: nn.Module, *, anatomy: Anatomy | None = None, family: Family | None = None
    ) -> None:
        self.model = model
        self.family = family
        self.stand_ins = stand_ins_of(family, model)  # those for functions of Python
        self.processor: Any = None  # what turns raw input into tensors; `anylens.load` brings it
        self.world: Any = None  # what a model of the zoo was trained on; `anylens.load` brings it too
        self.made_by: Callable[[], Lens] | None = None  # makes it again, elsewhere; `anylens.load` says how
        self._anatomy = self._named(anatomy) if anatomy is not None else None
        self._points: Points | None = None
        self._splices: dict[str, Splice] = {}  # by the names that their points were given
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
            more, names = points_inside(self._splices)
            self._points = Points(self.anatomy, {**self._aliases(), **names}, more=more)
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
        found = watched(self.model, method_of(self.model, method), given, self.stand_ins)
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
        given = unpack(args, kwargs, None if method else self.model)
        self._know(given, method)
        cache = Cache(self.points.aliases)
        plan, moved = self._plan(), targets(to)
        for point in self.points.select(points):
            action = CaptureGraph(point, cache) if grad else Capture(point, cache, moved)
            plan.add(point, action, edits=grad)
        with torch.enable_grad() if grad else nullcontext():
            output = self._call(given, method, self._runs(plan, stop_early=stop_early))
        return output, cache

    def record(
        self,
        *args: Any,
        points: str | Iterable[str],
        steps: Choice = None,
        method: Any = None,
        hooks: Hooks | None = None,
        to: To | Path | tuple[To | Path, ...] = None,
        step: str | None = None,
        **kwargs: Any,
    ) -> tuple[Any, Steps]:
        """Run code that calls the model again and again, and capture the values at some points step by step.

        A step is one call of the step module: of the model itself, of a pipeline's denoiser. A point that is reached
        outside of these, or several times within one, is counted by itself.

        Args:
            *args, **kwargs, method, points: as for `run_with_cache`; a callable as first argument is the method.
            steps: which steps are kept: an int, a list in any order, a slice, a predicate on the step, or
                `anylens.timesteps(high, low)`, `anylens.sigmas(low, high)`; numbers below zero count from the end.
            hooks: edits to make meanwhile, as for `run_with_hooks`; what is captured is what went on after them.
            to: a device or dtype for the captured copies, a folder (a `pathlib.Path`) to write them to, or several.
            step: path of the module whose calls are the steps, if not the lens's own.

        Returns:
            What the code returned, and the steps, of which there may be fewer than chosen if the run ended early.

        Raises:
            UnknownPointError, AbsentPointError: a name that this model does not have.
            RunError: a point was not reached.
        """
        given, method = called(args, kwargs, method, self.model)
        self._know(given, method)
        clock = self._clock(step)
        plan = self._edits(hooks or {}, clock)
        trails = [Trail(point, Chooser(steps), target_of(to)) for point in self.points.select(points)]
        for trail in trails:
            plan.add(trail.point, trail, edits=False, clock=clock)
        return self._call(given, method, self._runs(plan), clock), Steps(trails)

    def iterate(
        self,
        *args: Any,
        points: str | Iterable[str] = (),
        method: Any = None,
        hooks: Hooks | None = None,
        to: To | tuple[To, ...] = None,
        step: str | None = None,
        **kwargs: Any,
    ) -> Iteration:
        """Run code that calls the model again and again, and pause at each step: `for step in lens.iterate(...)`.

        At each pause `step.index`, `step.timestep` and the like say where the run is; `step.edit(...)` edits the step
        about to run; `step.cache[...]` and `step.latents` let it run and show what it had; `step.stop()` and leaving
        the loop end the run. The run goes on in a thread of its own, and only while the loop waits for it; what it
        raises is raised at the pause it was going to. The arguments are those of `record`.
        """
        given, method = called(args, kwargs, method, self.model)
        self._know(given, method)
        clock, moved = self._clock(step), targets(to)
        host = Host(
            clock, lambda hooks: self._runs(self._edits(hooks, clock)), self.points.aliases, self._whole
        )
        looks = [Look(host, Trail(point, Chooser()), moved) for point in self.points.select(points)]
        plan = self._edits(hooks or {}, clock)
        for look in looks:
            plan.add(look.trail.point, look, edits=False, clock=clock)
        runs = self._runs(plan)

        def call() -> Any:
            with host.watching(self._scheduler()):
                return self._call(given, method, runs, clock)

        return Iteration(host, Relay(call), Steps(look.trail for look in looks))

    def run_with_hooks(self, *args: Any, hooks: Hooks, method: Any = None, **kwargs: Any) -> Any:
        """Call the model with hooks at some points, and return its output.

        `hooks` maps names or globs to a function `fn(value, at)`, an intervention, or a list of these, which act in
        order. A function gets a copy of the value; what it returns takes the value's place, None keeps it.
        """
        given = unpack(args, kwargs, None if method else self.model)
        self._know(given, method)
        clock = self._clock()
        return self._call(given, method, self._runs(self._edits(hooks, clock)), clock)

    @contextmanager
    def hooks(self, hooks: Hooks) -> Iterator["Lens"]:
        """Keep hooks in place for any code that calls the model inside the `with`."""
        self._expect_attached()
        clock = self._clock()
        runs = self._runs(self._edits(hooks, clock))
        with under_way(runs, clock):
            yield self
        if clock.entries:
            expect_visits(runs)

    def splice(self, coders: Mapping[str, Coder], *, error: bool = True) -> "Lens":
        """Return a lens with autoencoders at some points; this lens, the model and the autoencoders stay as they are.

        Each has further points, readable and editable in every run: `<point>.sae.hook_acts`, with the axis `feature`
        last, `.sae.hook_recon` and `.sae.hook_error`. With `error` what an autoencoder does not explain is added back,
        and while nothing is edited the model computes what it computes by itself; without, it goes on with the
        reconstruction in every run. Gradients pass through the features; the error is a constant.

        Raises:
            UnknownPointError, AbsentPointError: a name that this model does not have.
            ShapeError: an autoencoder takes rows of another width.
        """
        found = splices_of(coders, [self.points[name] for name in coders], keeps_error=error)
        other = copy.copy(self)
        other._splices = {**self._splices, **dict(zip(coders, found, strict=True))}
        other._points = None
        other.made_by = None
        return other

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

    def _plan(self) -> Plan:
        return plan_with(self._splices.values())

    def _edits(self, hooks: Hooks, clock: Clock) -> Plan:
        plan = self._plan()
        for pattern, listed in listed_hooks(hooks):
            for point in self.points.select(pattern):
                for hook in listed:
                    plan.add(point, Edit(point, hook), edits=True, clock=clock)
        return plan

    def _clock(self, path: str | None = None) -> Clock:
        """Return a clock that counts the calls of the step module: the one at a path, or the lens's own."""
        own = self.family.step_of(self.model) if self.family is not None and path is None else ""
        return Clock(step_module(self.model, path or own), self._read_step)

    def _read_step(
        self, number: int, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Step:
        """Add to what a call of the step module shows what the family knows."""
        step = read_step(number, module, args, kwargs)
        if self.family is None or self.family.conditional is None:
            return step
        given = dict(arguments.named(module, args, kwargs))
        return step.knowing(conditional=self.family.rows_of(self.model, given))

    @property
    def _whole(self) -> nn.Module:
        """All that a run may go through, as one module."""
        return self.model

    def _scheduler(self) -> Any:
        """Return what makes a step of the latents, where there is such a thing."""
        return None

    def _target(self, method: Any) -> Any:
        return method_of(self.model, method)

    def _runs(self, plan: Plan, *, stop_early: bool = False) -> list[Run]:
        return [Run(self.model, self.anatomy, plan, Tally(stop_early=stop_early), self.stand_ins)]

    def _call(self, given: Arguments, method: Any, runs: list[Run], clock: Clock | None = None) -> Any:
        args, kwargs = given
        output = None
        with under_way(runs, clock):
            output = self._target(method)(*args, **kwargs)
        expect_visits(runs)
        return output

    def __repr__(self) -> str:
        return f"Lens on {type(self.model).__name__}" + (
            f"\n{self.points!r}" if self._anatomy else ", not watched yet"
        )
