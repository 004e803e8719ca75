"""A run: what is under way while the user's own code calls the model, and what it has come to."""

from collections import Counter

import torch
from torch import nn

from anylens.anatomy.anatomy import Anatomy
from anylens.running.active import active
from anylens.running.scopes import Scopes
from anylens.running.sites import Leads, Plan, Site


class Enough(BaseException):
    """Every point asked for has been reached: the rest of the forward is not needed."""


class Run:
    """What is done at which points, where the run is, and which points it has reached."""

    def __init__(self, root: nn.Module, anatomy: Anatomy, plan: Plan, *, stop_early: bool = False) -> None:
        self.root = root
        self.anatomy = anatomy
        self.plan = plan
        self.stop_early = stop_early
        self.step = -1  # how often the root was entered, less one
        self.turns: Counter[str] = (
            Counter()
        )  # calls of each counted module since the module around it was entered
        self.leads: Leads = {}
        self.scopes = Scopes({})
        self.waiting = len(plan.sites)

    def join(self, around: "Run") -> None:
        """Do first what the run around this one does."""
        self.plan = around.plan.joined(self.plan)
        self.waiting = len(self.plan.sites)

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
                new = site.visit(tensor, max(self.step, 0))
        else:
            new = site.visit(tensor, max(self.step, 0))
        self.reached(site)
        return new

    def reached(self, site: Site) -> None:
        """Stop the forward once every point has been reached, where that is wanted."""
        if site.visits == 1:
            self.waiting -= 1
        if self.stop_early and not self.waiting:
            raise Enough
