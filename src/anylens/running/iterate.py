"""A run that pauses at each step and hands over: look, edit, change the latents or the scheduler, go on, or stop."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import nn

from anylens.anatomy.points import Point
from anylens.core.errors import RunError
from anylens.core.tree import leaves, replace
from anylens.running.actions import Hooks
from anylens.running.capture import Cache, To, copied
from anylens.running.clock import Clock
from anylens.running.pause import Hold, Pause
from anylens.running.relay import Done, Halt, Relay
from anylens.running.run import Run, expect_edits, runs_here
from anylens.running.schedulers import catching
from anylens.running.step import Step
from anylens.running.steps import Steps, Trail
from anylens.running.taps import under_way


class Host:
    """The paused run's side: it makes the holds, acts on the edits, and catches what the scheduler returns."""

    def __init__(
        self,
        clock: Clock,
        make_runs: Callable[[Hooks], list[Run]],
        aliases: Mapping[str, str],
        whole: nn.Module,
    ) -> None:
        self.clock = clock
        self.whole, self.around = whole, runs_here()
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
        self.drop()
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
        """Take off the edits of a step; RunError if one of them had no effect: its point or step was not reached."""
        edited = self.drop()
        silent = [
            site.point.name for run in edited for site in run.plan.sites if not site.visits and site.edits
        ]
        if silent:
            raise RunError(
                f"{', '.join(silent[:3])} was not reached in this step, so the edit had no effect."
            )
        expect_edits(edited)

    def drop(self) -> list[Run]:
        """Take off the edits of a step that may have been left by an exception; return the runs that made them."""
        edited, self._edited = self._edited, []
        self._installed.close()
        return edited

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
        """Catch what a scheduler's `step` returns. Whatever ends the run, edits of the step it ended in come off."""
        self.scheduled = scheduler is not None
        with self._installed, catching(scheduler, self.caught) if self.scheduled else nullcontext():
            yield

    def caught(self, result: Any) -> Any:
        """Halt where the scheduler made its step, and return what goes on in the place of its result."""
        found = next(iter(leaves(result)), None)
        if found is None or self.now is None or self.now.ended:
            return result
        key, self.now.latents = found
        self.end()
        return replace(result, key, self.now.latents) if self.now.changed else result

    # -- called by who looks on ----------------------------------------------------------------------------------

    def advance(self) -> Halt | Done:
        """Let the run go on to its next halt.

        Raises RunError if hooks on its models came or went around this call only: the run would not see them.
        """
        own = {id(module) for module in self.whole.modules()}
        for run in set(self.around) ^ set(runs_here()):
            if own & {id(module) for module in run.root.modules()}:
                raise RunError(
                    "Hooks were put on or taken off while the run was paused, and it does not see that. Use "
                    "step.edit(...) or iterate(hooks=...), or have `with lens.hooks(...)` around the call of iterate "
                    "and the whole loop."
                )
        return self.relay.advance()

    def finish(self, hold: Hold) -> None:
        """Let the run go on to the end of a step; RunError if the run was ended before."""
        if self.relay.over and not hold.ended:
            raise RunError(
                "The run was ended before this step was, so there is nothing to show of it. A run ends with what "
                "iterate returned: keep that while its steps are used."
            )
        while not hold.ended:
            event = self.advance()
            if isinstance(event, Done):
                self.done(event)

    def done(self, event: Done) -> None:
        """Note that the run returned, which ends its last step."""
        self.output = event.output
        if self.now is not None:
            self.now.ended = True

    def at_end_of(self, hold: Hold) -> bool:
        """Whether the run is paused at the end of this very step."""
        return self.now is hold and hold.ended and not self.relay.over

    def edit(self, hold: Hold, hooks: Hooks) -> None:
        """Note an edit, for this step or the next; names and hooks are looked at right away."""
        if self.now is not hold or self.relay.over:
            raise RunError("The run has gone on from this step: edit the step at which it is paused.")
        self.make_runs(hooks)
        (self.next_edits if hold.ended else hold.edits).append(hooks)

    def stop(self) -> None:
        """End the run."""
        self.relay.stop()


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
                event = self._host.advance()
                if isinstance(event, Done):
                    self._host.done(event)
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
