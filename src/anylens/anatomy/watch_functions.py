"""Watch the calls of functions that have stand-ins: in which scope each is made, and what its stand-in shows of it."""

import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch

from anylens.anatomy.functions import Flow, FunctionCall, Shown, StandIn
from anylens.anatomy.watch import Watch
from anylens.core.replaced import Function, Handle, replace_function
from anylens.core.tree import leaves, replace


class Sight:
    """The visit of a watched forward: it notes what it is shown, and changes nothing."""

    def __init__(self, stand_in: StandIn, own: Function, lead: tuple[int, ...]) -> None:
        self.stand_in = stand_in
        self.own = own
        self.lead = lead
        self.shown: dict[str, Shown] = {}

    def __call__(self, site: str, value: torch.Tensor, flow: Flow | None = None) -> torch.Tensor:
        """Note shape and dtype."""
        dtype = str(value.dtype).removeprefix("torch.")
        self.shown[site] = Shown(site, self.stand_in.axes(site), tuple(value.shape), dtype)
        return value

    def wants(self, *sites: str) -> bool:
        """Ask for everything."""
        return True


def watch_functions(stand_ins: Iterable[StandIn]) -> Callable[[Watch], list[Handle]]:
    """Return what has a watcher note the calls of functions that have stand-ins."""

    def install(watcher: Watch) -> list[Handle]:
        found = [replace_function(one.function, _noting(watcher, one)) for one in stand_ins]
        return [handle for handle in found if handle is not None]

    return install


def _noting(watcher: Watch, stand_in: StandIn) -> Callable[..., Any]:
    """Return a claim that lets the function itself run, and tells the watcher."""
    mine = threading.get_ident()

    def claim(own: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if threading.get_ident() != mine or watcher.busy or not watcher.stack:
            return NotImplemented
        copies = _copied(watcher, (args, kwargs))  # before the function changes any
        result = own(*args, **kwargs)
        shown, error = _shown(watcher, stand_in, own, copies)
        call, labeller = watcher.stack[-1]
        labels = tuple(labeller.of(tensor) for _, tensor in leaves(result))
        watcher.functions.append(FunctionCall(stand_in.key, call.number, shown, labels, error))
        return result

    return claim


def _copied(watcher: Watch, given: Any) -> Any:
    """Copy the tensors among arguments, unseen by the watcher."""
    watcher.busy = True
    for key, tensor in list(leaves(given)):
        given = replace(given, key, tensor.clone())
    watcher.busy = False
    return given


def _shown(watcher: Watch, stand_in: StandIn, own: Function, given: Any) -> tuple[tuple[Shown, ...], str]:
    """Run the stand-in, unseen by the watcher; return what it shows, or what is wrong.

    A stand-in that fails costs its points, with a warning and a reason, and leaves all others.
    """
    call, _ = watcher.stack[-1]
    first = next(iter(call.inputs.values()), None)
    lead = watcher.registry.values[first].shape[:-1] if first is not None else ()
    sight = Sight(stand_in, own, lead)
    watcher.busy = True
    try:
        with torch.random.fork_rng(devices=[]):
            stand_in.by(sight, *given[0], **given[1])
    except Exception as error:
        said = f"the stand-in for {stand_in.function} failed: {type(error).__name__}: {error}"
        warnings.warn(f"There are no points of {stand_in.part}: {said}", stacklevel=2)
        return (), said
    finally:
        watcher.busy = False
    return tuple(sight.shown.values()), ""


def uncalled(stand_ins: Iterable[StandIn], calls: Iterable[FunctionCall]) -> tuple[tuple[str, str], ...]:
    """Return the ends of the names of points that no call of a function showed, each with the reason."""
    seen = list(calls)
    shown = {call.key for call in seen if not call.error}
    failed = {call.key: call.error for call in seen if call.error}
    functions: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for one in stand_ins:
        for site in one.sites if one.key not in shown else ():
            functions[one.key, f"{one.part}.hook_{site}"][one.function] = None
    return tuple(
        (name, failed.get(key) or f"the watched forward did not call {' or '.join(listed)}")
        for (key, name), listed in functions.items()
    )
