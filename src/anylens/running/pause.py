"""A step at which a run has paused, as the one who looks on has it."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from anylens.core.errors import DtypeError, RunError, ShapeError
from anylens.running.actions import Hooks
from anylens.running.capture import Cache
from anylens.running.step import Step


@dataclass
class Hold:
    """What the paused run and the one who looks at it share about a step."""

    step: Step
    cache: Cache
    edits: list[Hooks] = field(default_factory=list)  # for this step
    ended: bool = False
    latents: torch.Tensor | None = None
    changed: bool = False


class Holder(Protocol):
    """The run that a pause is one of: it goes on, takes edits, and ends."""

    def finish(self, hold: Hold) -> None:
        """Let the run go on to the end of a step."""

    def at_end_of(self, hold: Hold) -> bool:
        """Whether the run is paused at the end of this very step."""
        ...

    def edit(self, hold: Hold, hooks: Hooks) -> None:
        """Note an edit, for this step or the next."""

    def stop(self) -> None:
        """End the run."""


class Pause:
    """A step at which the run has paused.

    It has not run yet: an edit made now acts in this very step. Asking for `cache` or `latents` lets the run go on to
    the end of the step and pause there.
    """

    __slots__ = ("_hold", "_host")  # to set another attribute would have no effect

    def __init__(self, hold: Hold, host: Holder) -> None:
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
        self._host.stop()

    def __repr__(self) -> str:
        return f"Pause at {self._hold.step!r}"
