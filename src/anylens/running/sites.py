"""Sites: where a run stops to act, grouped by the module that has to be hooked for it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch

from anylens.anatomy.points import Point, Tap
from anylens.core.axes import Back
from anylens.core.errors import RunMismatchError
from anylens.running.actions import Action, At

Leads = dict[str, tuple[int, ...]]


@dataclass(slots=True)
class Site:
    """A point in a run: what is done there, and how often it was reached."""

    point: Point
    tap: Tap
    actions: list[Action]
    edits: bool
    visits: int = 0
    at: At | None = None
    leads: Leads = field(
        default_factory=dict
    )  # the run's: what entered the modules that points take sizes from

    def visit(self, tensor: torch.Tensor, step: int) -> torch.Tensor | None:
        """Do what is to be done with the model's tensor; return its replacement, or None to leave it."""
        point = self.point
        self.visits += 1
        if packed(tensor):
            raise nested(point.name)
        value, back = _view(point, tensor, self.leads)
        if self.at is None or self.at.step != step:
            self.at = At(point.name, point.axes, point.layer, step)
        changed = False
        for action in self.actions:
            new = action(value, self.at)
            if new is not None:
                value, changed = new, True
        return back(value) if changed else None


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
    lead = leads.get(point.lead.path, ()) if point.lead is not None else ()
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
    """The sites of a run, in the order in which they were asked for; the last of a tap acts last."""

    by_name: dict[str, Site] = field(default_factory=dict)

    @property
    def sites(self) -> list[Site]:
        """The sites, in order."""
        return list(self.by_name.values())

    def add(self, point: Point, action: Action, *, edits: bool) -> None:
        """Act at a point. Where anything edits, the tap that all readers see is used for all."""
        site = self.by_name.get(point.name)
        if site is None:
            tap = point.tap if edits or point.reader is None else point.reader
            self.by_name[point.name] = Site(point, tap, [action], edits)
            return
        site.actions.append(action)
        site.edits = site.edits or edits
        site.tap = point.tap if site.edits else site.tap

    def joined(self, other: "Plan") -> "Plan":
        """Return a plan that does what this one does, then what the other does."""
        both = Plan()
        for site in (*self.sites, *other.sites):
            for action in site.actions:
                both.add(site.point, action, edits=site.edits)
        return both


def group(sites: Iterable[Site]) -> dict[str, list[Site]]:
    """Group sites by the module they are at."""
    found: dict[str, list[Site]] = {}
    for site in sites:
        found.setdefault(site.tap.path, []).append(site)
    return found
