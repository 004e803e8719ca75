"""A run: the user's own code calls the model, with taps in place for that run alone.

Hooks go on when the run begins and come off when it ends, however it ends. A hook does nothing unless its run is
the one under way in the thread or task that calls the model.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from anylens.anatomy.anatomy import Anatomy
from anylens.core import arguments
from anylens.core.errors import RunMismatchError
from anylens.core.tree import get, leaves, replace
from anylens.running.active import activated, active
from anylens.running.scopes import Frame, Scopes
from anylens.running.sites import Plan, Site


class Enough(BaseException):
    """Every point asked for has been reached: the rest of the forward is not needed."""


class Run:
    """Taps on a model while some code calls it."""

    def __init__(self, root: nn.Module, anatomy: Anatomy, plan: Plan, *, stop_early: bool = False) -> None:
        self.root = root
        self.anatomy = anatomy
        self.plan = plan
        self.stop_early = stop_early
        self.step = -1  # how often the root was entered, less one
        self.turns: Counter[str] = Counter()
        self.scopes = Scopes({})
        self.waiting = len(plan.sites)

    @contextmanager
    def taps(self) -> Iterator["Run"]:
        """Put the taps on, and take them off again, whatever happens in between."""
        around: Run | None = active(id(self.root))
        if around is not None:
            self.plan = around.plan.joined(self.plan)
            self.waiting = len(self.plan.sites)
        handles = self._install() if self.plan.sites else []
        try:
            with activated(id(self.root), self):
                yield self
        except Enough:
            if not self.stop_early:
                raise
        finally:
            self.scopes.sleep()
            for handle in handles:
                handle.remove()

    def mine(self) -> bool:
        """Whether this run is the one under way here."""
        return active(id(self.root)) is self

    # -- hooks ---------------------------------------------------------------------------------------------------

    def _install(self) -> list[RemovableHandle]:
        modules = dict(self.root.named_modules())
        handles = [self.root.register_forward_pre_hook(self._enter_root, prepend=True)]
        at_ops, at_modules = self.plan.at_ops, self.plan.at_modules
        if at_ops:
            tensors = [*self.root.named_parameters(), *self.root.named_buffers()]
            self.scopes.names = {id(tensor): path for path, tensor in tensors}
        counted = {site.tap.path: site.tap.within for site in self.plan.sites if site.tap.calls > 1}
        for path in set(counted.values()):
            handles.append(
                modules[path].register_forward_pre_hook(self._counter_reset(counted, path), prepend=True)
            )
        inner = self._inside(at_ops, modules)
        for path in dict.fromkeys([*at_modules, *at_ops, *inner]):
            handles += self._hook(
                modules, path, (at_modules.get(path, []), at_ops.get(path), path in counted, inner)
            )
        return handles

    def _hook(self, modules: dict[str, nn.Module], path: str, what: Any) -> list[RemovableHandle]:
        """Hook one module with just what is asked of it."""
        sites, scope, counted, inner = what
        module = modules[path]
        entering = [site for site in sites if site.tap.side == "in"]
        leaving = [site for site in sites if site.tap.side == "out"]
        handles: list[RemovableHandle] = []
        if counted or entering:
            hook = self._on_enter(path, entering, counted)
            handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
        if leaving:  # before the frame is popped, so that the scope around learns of a replaced output
            handles.append(module.register_forward_hook(self._on_leave(path, leaving)))
        if scope is not None or path in inner:
            enter, leave = self._scope_hooks(path, scope)
            handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
            handles.append(module.register_forward_hook(leave, always_call=True))
        return handles

    def _inside(self, at_ops: dict[str, list[Site]], modules: dict[str, nn.Module]) -> set[str]:
        """Return the modules whose operations must not be taken for those of a scope around them."""
        found: set[str] = set()
        for path, sites in at_ops.items():
            functions = {site.tap.rule.function for site in sites if site.tap.rule}
            below = f"{path}." if path else ""
            deep = any(site.tap.rule and site.tap.rule.depth for site in sites)
            if deep or any(
                op.rule.function in functions and op.path.startswith(below) for op in self._below(path)
            ):
                found |= {other for other in modules if other.startswith(below) and other != path}
                record = self.anatomy.by_path.get(path)
                found |= set(record.strays if record else ())
        return found

    def _below(self, path: str) -> list[Any]:
        below = f"{path}." if path else ""
        return [op for op in self.anatomy.ops if op.path != path and op.path.startswith(below)]

    def _enter_root(self, module: nn.Module, args: Any) -> None:
        if self.mine():
            self.step += 1
            self.scopes.step = self.step

    def _counter_reset(self, counted: dict[str, str], within: str) -> Any:
        paths = [path for path, around in counted.items() if around == within]

        def reset(module: nn.Module, args: Any) -> None:
            if self.mine():
                for path in paths:
                    self.turns[path] = 0

        return reset

    def _now(self, sites: list[Site], turn: int) -> list[Site]:
        return [site for site in sites if site.tap.turn is None or site.tap.turn == turn]

    def _on_enter(self, path: str, sites: list[Site], counted: bool) -> Any:
        def enter(module: nn.Module, args: Any, kwargs: Any) -> Any:
            if not self.mine():
                return None
            if counted:
                self.turns[path] += 1
            given, changed = (args, kwargs), False
            for site in self._now(sites, self.turns[path] - 1):
                tensor = arguments.find(module, given, site.tap.slot)  # type: ignore[arg-type]
                if not isinstance(tensor, torch.Tensor):
                    raise _missing(site, "takes no such argument")
                new = self._visit(site, tensor)
                if new is not None:
                    given, changed = arguments.put(module, given, site.tap.slot, new), True  # type: ignore[arg-type]
            return given if changed else None

        return enter

    def _on_leave(self, path: str, sites: list[Site]) -> Any:
        def leave(module: nn.Module, args: Any, output: Any) -> Any:
            if not self.mine():
                return None
            result, changed = output, False
            for site in self._now(sites, self.turns[path] - 1):
                tensor = get(result, site.tap.slot)  # type: ignore[arg-type]
                if not isinstance(tensor, torch.Tensor):
                    raise _missing(site, "gives no such output")
                new = self._visit(site, tensor)
                if new is not None:
                    result, changed = replace(result, site.tap.slot, new), True  # type: ignore[arg-type]
            return result if changed else None

        return leave

    def _scope_hooks(self, path: str, sites: list[Site] | None) -> tuple[Any, Any]:
        """Return the hooks that push a frame when a module is entered and pop it when it is left."""

        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            if not self.mine():
                return
            now = self._now(sites or [], self.turns[path] - 1)
            frame = Frame(path, now, self.scopes.names) if now else None
            if frame is not None:
                with self.scopes.unseen():
                    frame.entered(arguments.tensors(module, args, kwargs))
            self.scopes.enter_frame(frame)

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            if not self.mine() or not self.scopes.frames:
                return
            frame = self.scopes.leave_frame()
            if output is None:  # the module raised
                return
            around = self.scopes.frames[-1] if self.scopes.frames else None
            if around is not None and around.labels:
                with self.scopes.unseen():
                    around.labeller.returned(path, leaves(output))
            if frame is not None:
                frame.check()
                for site in frame.sites:
                    self._reached(site)

        return enter, leave

    def _visit(self, site: Site, tensor: torch.Tensor) -> torch.Tensor | None:
        """Act at a module's tensor, unseen by any scope that is awake."""
        with self.scopes.unseen():
            new = site.visit(tensor, max(self.step, 0))
        self._reached(site)
        return new

    def _reached(self, site: Site) -> None:
        """Stop the forward once every point has been reached, where that is wanted."""
        if site.visits == 1:
            self.waiting -= 1
        if self.stop_early and not self.waiting:
            raise Enough


def _missing(site: Site, what: str) -> RunMismatchError:
    return RunMismatchError(
        f"{site.point.name} is at {site.tap.where()}, but in this run the module {what}. "
        "Attach again with an example like this input."
    )
