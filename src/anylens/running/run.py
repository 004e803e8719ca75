"""A run: what is under way while the user's own code calls the model, and what it has come to."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from anylens.anatomy.anatomy import Anatomy
from anylens.anatomy.functions import StandIn
from anylens.core.errors import RunError
from anylens.running.active import active, all_active
from anylens.running.scopes import Scopes
from anylens.running.sites import Leads, Plan, Site


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
        self.plan = plan
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


def expect_visits(runs: Iterable[Run]) -> None:
    """Refuse runs in which a point was not reached: an edit without effect is never passed over."""
    silent = [site.point.name for run in runs for site in run.plan.sites if not site.visits]
    if silent:
        more = f" and {len(silent) - 3} more" if len(silent) > 3 else ""
        raise RunError(
            f"{', '.join(silent[:3])}{more} was not reached in this run: it took another way through the model than "
            "the watched forward. Attach again with an example like this input; for a method that does not call the "
            "model, with attach(model, example, method=NAME)."
        )
