"""A run that pauses at each step and hands over: look, edit, change the latents or the scheduler, go on, or stop."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch

from anylens.anatomy.points import Point
from anylens.core.errors import DtypeError, RunError, ShapeError
from anylens.core.tree import leaves, replace
from anylens.running.actions import Hooks
from anylens.running.capture import Cache, To, copied
from anylens.running.clock import Clock
from anylens.running.relay import Done, Relay
from anylens.running.run import Run
from anylens.running.step import Step
from anylens.running.steps import Steps, Trail
from anylens.running.taps import under_way


@dataclass
class Hold:
    """What the paused run and the one who looks at it share about a step."""

    step: Step
    cache: Cache
    edits: list[Hooks] = field(default_factory=list)  # for this step
    ended: bool = False
    latents: torch.Tensor | None = None
    changed: bool = False


class Pause:
    """A step at which the run has paused.

    It has not run yet: an edit made now acts in this very step. Asking for `cache` or `latents` lets the run go on to
    the end of the step and pause there.
    """

    def __init__(self, hold: Hold, host: "Host") -> None:
        self._hold = hold
        self._host = host

    @property
    def step(self) -> Step:
        """The step: its number, kind, timestep, sigma, tokens, conditional rows; see `anylens.Step`."""
        return self._hold.step

    @property
    def index(self) -> int:
        """The number of the step, counted from 0."""
        return int(self._hold.step)

    def __getattr__(self, name: str) -> Any:
        if name in ("kind", "timestep", "sigma", "tokens", "conditional"):
            return getattr(self._hold.step, name)
        raise AttributeError(f"A paused step has no {name!r}.")

    @property
    def cache(self) -> Cache:
        """What the step has at the points asked for, after all edits. The run goes on to the end of the step first."""
        self._host.finish(self._hold)
        return self._hold.cache

    @property
    def latents(self) -> torch.Tensor:
        """What the scheduler made of the step; the run goes on to there first. Set it, and the run goes on with that.

        Raises:
            RunError: nothing in this run is a scheduler's step.
            ShapeError, DtypeError: the new latents do not fit in the place of the old.
        """
        self._host.finish(self._hold)
        if self._hold.latents is None:
            raise RunError("This step has no latents: no scheduler made a step in it.")
        return self._hold.latents

    @latents.setter
    def latents(self, new: Any) -> None:
        old = self.latents
        if not self._host.at_end_of(self._hold):
            raise RunError("The run has gone on from this step; its latents are used up.")
        if not isinstance(new, torch.Tensor) or new.dtype != old.dtype or new.device != old.device:
            given = f"{new.dtype} on {new.device}" if isinstance(new, torch.Tensor) else type(new).__name__
            raise DtypeError(f"Latents are {old.dtype} on {old.device}, and {given} was given.")
        if new.shape != old.shape:
            raise ShapeError(f"Latents have shape {list(old.shape)}, and {list(new.shape)} was given.")
        self._hold.latents, self._hold.changed = new, True

    def edit(self, hooks: Hooks | str, hook: Any = None) -> None:
        """Edit one step: this one if it has not run yet (nothing of it was read), else the next.

        `edit({"mid_block.hook_out": anylens.scale(0)})`, or `edit(name, hook)`. Edits for all steps go to
        `iterate(hooks=...)`.
        """
        self._host.edit(self._hold, {hooks: hook} if isinstance(hooks, str) else hooks)

    def stop(self) -> None:
        """End the run here."""
        self._host.relay.stop()

    def __repr__(self) -> str:
        return f"Pause at {self._hold.step!r}"


class Host:
    """The paused run's side: it makes the holds, acts on the edits, and catches what the scheduler returns."""

    def __init__(
        self, clock: Clock, make_runs: Callable[[Hooks], list[Run]], aliases: Mapping[str, str]
    ) -> None:
        self.clock = clock
        self.make_runs = make_runs
        self.aliases = aliases
        self.relay: Relay
        self.now: Hold | None = None
        self.next_edits: list[Hooks] = []
        self.scheduled = False  # whether a scheduler ends the steps
        self.output: Any = None  # what the run returned
        self._installed = ExitStack()
        self._edited: list[Run] = []
        clock.entered, clock.left = self.entered, self.left

    # -- called in the run's own thread --------------------------------------------------------------------------

    def entered(self, step: Step) -> None:
        """Halt where a step begins, and put in place what was asked for meanwhile."""
        self.end()
        self.now = Hold(step, Cache(self.aliases), self.next_edits)
        self.next_edits = []
        self.relay.halt(self.now)
        for hooks in self.now.edits:
            runs = self.make_runs(hooks)
            self._edited += runs
            self._installed.enter_context(under_way(runs))

    def left(self, step: Step) -> None:
        """Take off the edits of a step, and halt where it ends, if no scheduler has a part in that."""
        self.take_off()
        if not self.scheduled:
            self.end()

    def take_off(self) -> None:
        """Take off the edits of a step; RunError if one of them had no effect, as its point was not reached."""
        edited, self._edited = self._edited, []
        self._installed.close()
        silent = [
            site.point.name for run in edited for site in run.plan.sites if not site.visits and site.edits
        ]
        if silent:
            raise RunError(
                f"{', '.join(silent[:3])} was not reached in this step, so the edit had no effect."
            )

    def end(self) -> None:
        """Halt where a step ends."""
        if self.now is not None and not self.now.ended:
            self.now.ended = True
            self.relay.halt(self.now)

    def keep(self, point: Point, value: torch.Tensor) -> bool:
        """Put a value into the cache of the present step; False if it was reached outside of one."""
        if self.clock.current is None or self.now is None:
            return False
        self.now.cache.put(point, value)
        return True

    @contextmanager
    def watching(self, scheduler: Any) -> Iterator[None]:
        """Catch what a scheduler's `step` returns. Only this object's attribute is set, and it goes again."""
        if scheduler is None:
            yield
            return
        original, before = scheduler.step, dict(vars(scheduler))

        def step(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            found = next(iter(leaves(result)), None)
            if found is None or self.now is None or self.now.ended:
                return result
            key, self.now.latents = found
            self.end()
            return replace(result, key, self.now.latents) if self.now.changed else result

        self.scheduled = True
        scheduler.step = step
        try:
            yield
        finally:
            if "step" in before:
                scheduler.step = before["step"]
            else:
                del scheduler.step

    # -- called by who looks on ----------------------------------------------------------------------------------

    def finish(self, hold: Hold) -> None:
        """Let the run go on to the end of a step."""
        while not hold.ended:
            event = self.relay.advance()
            if isinstance(event, Done):
                hold.ended, self.output = True, event.output

    def at_end_of(self, hold: Hold) -> bool:
        """Whether the run is paused at the end of this very step."""
        return self.now is hold and hold.ended and not self.relay.over

    def edit(self, hold: Hold, hooks: Hooks) -> None:
        """Note an edit, for this step or the next; names and hooks are looked at right away."""
        if self.now is not hold or self.relay.over:
            raise RunError("The run has gone on from this step: edit the step at which it is paused.")
        self.make_runs(hooks)
        (self.next_edits if hold.ended else hold.edits).append(hooks)


class Iteration(Iterator[Pause]):
    """Goes through the steps of a run, which pauses at each. Leaving the loop ends the run.

    Attributes:
        outside: what was captured outside of the steps, by components that run beside them, as `Steps`.
    """

    def __init__(self, host: Host, relay: Relay, outside: Steps) -> None:
        self._host = host
        self._relay = host.relay = relay
        self.outside = outside

    @property
    def output(self) -> Any:
        """What the run returned, once it has ended by itself; None before."""
        return self._host.output

    def __next__(self) -> Pause:
        if self._relay.over:
            raise StopIteration
        try:
            while True:
                event = self._relay.advance()
                if isinstance(event, Done):
                    self._host.output = event.output
                    raise StopIteration
                if not event.what.ended:
                    return Pause(event.what, self._host)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the run, if it has not ended."""
        self._relay.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


@dataclass
class Look:
    """Captures a point for the present pause; what comes outside of steps goes to a trail."""

    host: Host
    trail: Trail
    to: tuple[To, ...] = ()
    looks: ClassVar[bool] = True

    def __call__(self, value: torch.Tensor, step: Step) -> None:
        """Keep a copy."""
        if not self.host.keep(self.trail.point, copied(value, self.to)):
            self.trail(value, step)
