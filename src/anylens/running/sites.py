"""Sites: where a run stops to act, grouped by the module that has to be hooked for it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from anylens.anatomy.functions import Flow
from anylens.anatomy.points import Point, Tap
from anylens.core.axes import Back
from anylens.core.errors import RunMismatchError
from anylens.running.actions import Action
from anylens.running.active import at_rest
from anylens.running.capture import CaptureGraph
from anylens.running.clock import Clock
from anylens.running.splices import Splice
from anylens.running.step import ONLY, Step

Leads = dict[str, tuple[int, ...]]


Deed = tuple[Action, Clock | None]  # what is done, and the clock that says at which step


@dataclass(slots=True)
class Site:
    """A point in a run: what is done there, and how often it was reached."""

    point: Point
    tap: Tap
    actions: list[Deed]
    edits: bool
    visits: int = 0
    leads: Leads = field(
        default_factory=dict
    )  # the run's: what entered the modules that points take sizes from
    origins: list["Site"] = field(
        default_factory=list
    )  # of the runs that were joined, reached when this one is
    counts: bool = True  # whether a visit is one to the point; a half of a site may not say so

    def place(self, action: Action, clock: Clock | None) -> None:
        """Put an action in its place: what edits before splices, and these before what looks."""
        for number, (one, _) in enumerate(self.actions):
            if isinstance(one, Spliced) and isinstance(action, Spliced) and one.splice is action.splice:
                self.actions[number] = (Spliced(one.splice, one.plan.joined(action.plan)), None)
                return
        later = (n for n, (one, _) in enumerate(self.actions) if _rank(one) > _rank(action))
        self.actions.insert(next(later, len(self.actions)), (action, clock))

    def halves(self) -> list["Site"]:
        """Return what edits and what looks as sites of their own; the second counts the visits of both."""
        looks = [deed for deed in self.actions if deed[0].looks]
        if not self.edits or not looks:
            return [self]
        others = [deed for deed in self.actions if not deed[0].looks]
        first = Site(self.point, self.tap, others, edits=True, counts=False)
        return [first, Site(self.point, self.tap, looks, edits=False, origins=[self])]

    def credit(self) -> None:
        """Count a visit, for the runs around this one too."""
        self.visits += self.counts
        for origin in self.origins:
            origin.credit()

    def visit(self, tensor: torch.Tensor, flow: Flow | None = None) -> torch.Tensor | None:
        """Do what is to be done with the model's tensor; return its replacement, or None to leave it.

        Where other values follow from this one, `flow` says what an edit makes of it, and each action sees what the
        one before has made. What is kept with its graph is then kept apart from what it was computed from, and the
        gradient of all that follows reaches it: otherwise what flows on would count twice.
        """
        point = self.point
        self.credit()
        if tensor.is_nested and packed(tensor):
            raise nested(point.name)
        value, back = _view(point, tensor, self.leads)
        changed = False
        steps: dict[Clock, Step] = {}
        for action, clock in self.actions:
            if clock is not None and clock not in steps:
                steps[clock] = clock.step_of(point.name)
            followed = flow is not None and isinstance(action, CaptureGraph)
            new = action(value.detach() if followed else value, steps[clock] if clock is not None else ONLY)
            if new is not None and flow is not None:
                new = _view(point, (flow.followed if followed else flow.edited)(back(new)), self.leads)[0]
            if new is not None:
                value, changed = new, True
        return _kept_alike(back(value), tensor) if changed else None


def _rank(action: Action) -> int:
    return 2 if action.looks else int(isinstance(action, Spliced))


def _kept_alike(new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    """Return a tensor kept in memory as another is: on other strides some functions round otherwise."""
    plain = new.layout == old.layout == torch.strided and not new.is_nested and not old.is_nested
    if not plain or new.shape != old.shape or new.stride() == old.stride():
        return new
    if any(step == 0 and size > 1 for step, size in zip(old.stride(), old.shape, strict=True)):
        return new  # the same memory for several entries: an edit may tell them apart
    return torch.empty_strided(old.shape, old.stride(), dtype=new.dtype, device=new.device).copy_(new)


def packed(tensor: torch.Tensor) -> bool:
    """Whether a tensor holds rows of several lengths and has no one shape."""
    return tensor.is_nested and tensor.layout == torch.strided


def nested(place: str) -> RunMismatchError:
    """Say that a tensor without one shape reached a place, and how to run without."""
    return RunMismatchError(
        f"A nested tensor reached {place}: torch's TransformerEncoder packs padded inputs so when no gradient is "
        "wanted. Build it with enable_nested_tensor=False, set its use_nested_tensor to False, or run it without "
        "torch.no_grad()."
    )


def _as_it_is(value: torch.Tensor) -> torch.Tensor:
    return value


def _view(point: Point, tensor: torch.Tensor, leads: Leads) -> tuple[torch.Tensor, Back]:
    """Show a tensor of the model as the point's layout has it."""
    whole = leads.get(point.lead.path, ()) if point.lead is not None else ()
    lead = tuple(whole[dim] for dim in point.lead_dims if dim < len(whole)) if point.lead_dims else whole[:-1]
    if point.lead is not None and point.layout is None:
        if tensor.shape[0] != torch.Size(lead).numel():
            raise RunMismatchError(
                f"{point.name} has {tensor.shape[0]} positions where {list(lead)} entered its block."
            )
        return tensor.unflatten(0, lead), lambda new: new.flatten(0, len(lead) - 1)
    if point.layout is None:
        return tensor, _as_it_is
    try:
        return (point.layout.sized(batch=lead[0]) if lead else point.layout).view(tensor)
    except ValueError as error:
        raise RunMismatchError(
            f"{point.name} is not in this run what it was in the watched forward: {error}. "
            "Attach again with an example like this input."
        ) from error


@dataclass
class Plan:
    """The sites of a run, in the order in which they were asked for; the last of a tap acts last.

    `splices` are those of the lens, by the names of the points inside them.
    """

    by_name: dict[str, Site] = field(default_factory=dict)
    splices: Mapping[str, Splice] = field(default_factory=dict)

    @property
    def sites(self) -> list[Site]:
        """The sites, in order."""
        return list(self.by_name.values())

    def in_turn(self) -> list[Site]:
        """Return the sites in the order of their visits: all that edit a tap, by whatever name, then what looks."""
        edited = Counter(site.tap for site in self.sites if site.edits)
        found = [half for site in self.sites for half in (site.halves() if edited[site.tap] > 1 else [site])]
        return sorted(found, key=lambda site: not site.edits)

    def add(self, point: Point, action: Action, *, edits: bool, clock: Clock | None = None) -> None:
        """Act at a point: edits first, in order, then splices, then what looks: it sees what the model goes on with.

        Where anything edits, the tap that all readers see is used for all.
        """
        if point.name in self.splices:
            splice = self.splices[point.name]
            inner = Spliced(splice, Plan())
            inner.plan.add(point, action, edits=edits, clock=clock)
            self.add(splice.base, inner, edits=True)
            return
        site = self.by_name.get(point.name)
        if site is None:
            tap = point.tap if edits or point.reader is None else point.reader
            site = self.by_name[point.name] = Site(point, tap, [], edits)
        site.place(action, clock)
        site.edits = site.edits or edits
        site.tap = site.point.tap if site.edits else site.tap

    def joined(self, other: "Plan") -> "Plan":
        """Return a plan that does what this one does, then what the other does."""
        both = Plan()
        for site in (*self.sites, *other.sites):
            for action, clock in site.actions:
                both.add(site.point, action, edits=site.edits, clock=clock)
            both.by_name[site.point.name].origins.append(site)
        return both

    def clocks(self) -> list[Clock]:
        """Return the clocks that its actions go by."""
        found: dict[Clock, None] = {}
        for site in self.sites:
            for action, clock in site.actions:
                inner = action.plan.clocks() if isinstance(action, Spliced) else []
                found |= dict.fromkeys([*inner, *([] if clock is None else [clock])])
        return list(found)


@dataclass(frozen=True)
class Spliced:
    """Takes the value through a splice, and does what its plan says at the points inside."""

    splice: Splice
    plan: Plan
    looks: ClassVar[bool] = False

    def __call__(self, value: torch.Tensor, _: Step) -> torch.Tensor | None:
        """Visit the sites inside. Models that the coder calls run without hooks of any run."""

        def visit(last: str, inner: torch.Tensor) -> torch.Tensor | None:
            site = self.plan.by_name.get(self.splice.points[last].name)
            return site.visit(inner) if site is not None else None

        with at_rest():
            return self.splice.through(value, visit)


def group(sites: Iterable[Site]) -> dict[str, list[Site]]:
    """Group sites by the module they are at."""
    found: dict[str, list[Site]] = {}
    for site in sites:
        found.setdefault(site.tap.path, []).append(site)
    return found


def plan_with(splices: Iterable[Splice]) -> Plan:
    """Return a plan that does nothing yet, but for splices that leave out their error."""
    listed = list(dict.fromkeys(splices))
    plan = Plan(splices={point.name: one for one in listed for point in one.points.values()})
    for one in listed:
        if not one.keeps_error:
            plan.add(one.base, Spliced(one, Plan()), edits=True)
    return plan
