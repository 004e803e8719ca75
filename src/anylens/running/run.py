"""A run: what is under way while the user's own code calls the model, and what it has come to."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from anylens.anatomy.anatomy import Anatomy
from anylens.anatomy.functions import StandIn
from anylens.core.errors import RunError
from anylens.running.actions import Edit
from anylens.running.active import active, all_active
from anylens.running.interventions import EVERY, Intervention
from anylens.running.scopes import Scopes
from anylens.running.sites import Leads, Plan, Site, Spliced


class Enough(BaseException):
    """Every point asked for has been reached: the rest of the forward is not needed."""


@dataclass
class Tally:
    """How many points are still to be reached, over all models that a run goes through."""

    left: int = 0
    stop_early: bool = False


class Run:
    """What is done at which points of one model, and which of them were reached."""

    def __init__(
        self,
        root: nn.Module,
        anatomy: Anatomy,
        plan: Plan,
        tally: Tally | None = None,
        stand_ins: tuple[StandIn, ...] = (),
    ) -> None:
        self.stand_ins = stand_ins  # those for functions, which the model's family has
        self.root = root
        self.anatomy = anatomy
        self.plan = self.own = plan
        self.tally = tally or Tally()
        self.tally.left += len(plan.by_name)
        self.turns: Counter[str] = (
            Counter()
        )  # calls of each counted module since the module around it was entered
        self.leads: Leads = {}
        self.scopes = Scopes({})

    def join(self, around: "Run") -> None:
        """Do first what the run around this one does."""
        self.tally.left -= len(self.plan.by_name)
        self.plan = around.plan.joined(self.plan)
        self.tally.left += len(self.plan.by_name)

    def mine(self) -> bool:
        """Whether this run is the one under way here."""
        return active(id(self.root)) is self

    def now(self, sites: list[Site], path: str) -> list[Site]:
        """Return the sites that are meant in the present call of a module."""
        return [site for site in sites if site.tap.turn is None or site.tap.turn == self.turns[path] - 1]

    def visit(self, site: Site, tensor: torch.Tensor) -> torch.Tensor | None:
        """Act at a module's tensor, unseen by any scope that is awake."""
        if self.scopes.awake:
            with self.scopes.unseen():
                new = site.visit(tensor)
        else:
            new = site.visit(tensor)
        self.reached(site)
        return new

    def reached(self, site: Site) -> None:
        """Stop the forward once every point has been reached, where that is wanted."""
        if site.visits == 1:
            self.tally.left -= 1
        if self.tally.stop_early and not self.tally.left:
            raise Enough


def runs_here() -> list[Run]:
    """Return the runs under way in this thread or task, on all models."""
    return [run for run in all_active() if isinstance(run, Run)]


def expect_visits(runs: Sequence[Run]) -> None:
    """Refuse runs in which a point or a step was not reached: an edit without effect is never passed over."""
    silent = [site.point.name for run in runs for site in run.plan.sites if not site.visits]
    if silent:
        more = f" and {len(silent) - 3} more" if len(silent) > 3 else ""
        raise RunError(
            f"{', '.join(silent[:3])}{more} was not reached in this run: it took another way through the model than "
            "the watched forward. Attach again with an example like this input; for a method that does not call the "
            "model, with attach(model, example, method=NAME)."
        )
    expect_edits(runs)


def expect_edits(runs: Iterable[Run]) -> None:
    """Refuse runs in which none of the steps came that an intervention was narrowed to.

    One that stands for several points, as under a glob, has to act at one of them. Edits of the runs around these are
    looked at where those end.
    """
    by_hook: dict[int, list[Edit]] = {}
    for edit in (edit for run in runs for edit in _edits(run.own)):
        if isinstance(edit.hook, Intervention) and edit.hook.steps != EVERY and edit.last is not None:
            by_hook.setdefault(id(edit.hook), []).append(edit)
    for edits in by_hook.values():
        if not any(edit.acted for edit in edits):
            raise RunError(_never_acted(max(edits, key=lambda edit: int(edit.last or 0))))


def _edits(plan: Plan) -> Iterator[Edit]:
    """Yield what edits at the sites of a plan, and inside its splices."""
    for site in plan.sites:
        for action, _ in site.actions:
            if isinstance(action, Edit):
                yield action
            elif isinstance(action, Spliced):
                yield from _edits(action.plan)


def _never_acted(edit: Edit) -> str:
    """Say which edit had no effect, and which steps there were."""
    count = int(edit.last or 0) + 1
    steps = f"{count} steps, {edit.first!r} to {edit.last!r}" if count > 1 else f"1 step, {edit.last!r}"
    beside = (
        " The point lies outside the steps and counts its own." if getattr(edit.last, "own", False) else ""
    )
    return (
        f"{edit.hook!r} at {edit.point.name} had no effect: none of its steps came. There were {steps}.{beside} "
        "Choose among these, or leave the edit out."
    )
