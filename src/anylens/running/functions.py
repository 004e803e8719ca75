"""Stand-ins for functions of Python, put in their place for a run and the scopes in which it has sites inside.

What replaces a function asks the run of the present thread; where that has no site in the module whose forward makes
the call, the function itself runs.
"""

from typing import Any

import torch

from anylens.anatomy.functions import Flow, StandIn
from anylens.core.errors import RunError
from anylens.core.replaced import Function, Handle, replace_function
from anylens.core.tree import leaves
from anylens.running.run import Run
from anylens.running.sites import Site


def replace_functions(run: Run) -> list[Handle]:
    """Put stand-ins in the place of the functions that a run has sites inside of, and of no others.

    Raises RunError if nothing is known to stand in for one.
    """
    inside = [site for site in run.plan.sites if site.tap.rule is not None and "." in site.tap.rule.function]
    wanted = {site.tap.rule.function: site for site in inside if site.tap.rule is not None}
    known = {one.key for one in run.stand_ins}
    for key, site in wanted.items():
        if key not in known:
            raise RunError(
                f"{site.point.name} is shown by a stand-in for a function, {key}, that the family of this lens does "
                "not have. Attach with the family that the anatomy was made with."
            )
    found = (replace_function(one.function, Standing(run, one)) for one in run.stand_ins if one.key in wanted)
    return [handle for handle in found if handle is not None]


class Showing:
    """The visit of a run: it does at each site of a call what is to be done there."""

    def __init__(self, sites: list[Site], own: Function, lead: tuple[int, ...]) -> None:
        self.sites: dict[str, list[Site]] = {}
        for site in sites:
            self.sites.setdefault(str(site.tap.slot), []).append(site)
        self.own = own
        self.lead = lead

    def __call__(self, site: str, value: torch.Tensor, flow: Flow | None = None) -> torch.Tensor:
        """Take the value at a site, give back the value to go on with."""
        for one in self.sites.get(site, ()):
            new = one.visit(value, flow)
            value = value if new is None else new
        return value

    def wants(self, *sites: str) -> bool:
        """Whether anything is to be done at one of these sites."""
        return any(site in self.sites for site in sites)


class Standing:
    """What a run does when a function is called: it lets the call pass, or has the stand-in run."""

    def __init__(self, run: Run, stand_in: StandIn) -> None:
        self.run = run
        self.stand_in = stand_in

    def __call__(self, own: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what the stand-in gives, or NotImplemented."""
        scopes = self.run.scopes
        frame = scopes.frames[-1] if scopes.frames and self.run.mine() and not scopes.busy else None
        if frame is None:
            return NotImplemented
        count = frame.met[self.stand_in.key, 0, self.stand_in.key]
        sites = frame.sites_of(self.stand_in.key, [])
        if not sites:
            return NotImplemented
        with scopes.unseen():
            result = self.stand_in.by(Showing(sites, own, frame.lead), *args, **kwargs)
        frame.replaced[self.stand_in.key] = sites[0].point.name
        self._label(frame, result, count)
        return result

    def _label(self, frame: Any, result: Any, count: int) -> None:
        """Give the results the labels of the function's own, by which what is computed from them is found."""
        labels = self.run.anatomy.labels_of(frame.path, self.stand_in.key, count)
        for (_, tensor), own in zip(leaves(result), labels, strict=False):
            frame.labeller.put(tensor, own)
