"""The hooks of a run: which modules have some, and what each does when its module is entered or left.

Several threads may run one model. A hook of another thread's run can be called while that run takes it off, and
then without the keyword arguments it was registered for: hence their default, and hence `mine` comes first.
"""

from typing import Any, cast

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from anylens.core import arguments
from anylens.core.errors import RunMismatchError
from anylens.core.replaced import Handle
from anylens.core.tree import Key, get, leaves, replace
from anylens.running.functions import replace_functions
from anylens.running.run import Run
from anylens.running.scopes import Frame
from anylens.running.sites import Site, group, packed

Hook = Any  # torch's own hooks: forward pre-hooks and forward hooks, with or without keyword arguments


class Wiring:
    """Hooks the modules that a run has to stop at, and no others."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.handles: list[RemovableHandle | Handle] = []

    def install(self) -> None:
        """Put the hooks on: counters first, then at each module what its sites need."""
        run, sites = self.run, self.run.plan.in_turn()
        root = run.root
        at_modules = group(site for site in sites if site.tap.rule is None)
        at_ops = group(site for site in sites if site.tap.rule is not None)
        if any(site.tap.rule and site.tap.rule.depth for site in sites):
            run.scopes.names = {id(t): path for path, t in (*root.named_parameters(), *root.named_buffers())}
        counted = {site.tap.path: site for site in sites if site.tap.calls > 1}
        for path in {site.tap.within for site in counted.values()}:
            self.counters([site for site in counted.values() if site.tap.within == path], path)
        self.lead_hooks(sites)
        inner = self.inside(at_ops)
        for path in dict.fromkeys([*at_modules, *at_ops, *inner]):
            self.module_hooks(path, at_modules.get(path, []), counted=path in counted)
            if path in at_ops or path in inner:
                self.scope_hooks(path, at_ops.get(path, []))
        self.handles += replace_functions(run)

    def remove(self) -> None:
        """Take all hooks off."""
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def before(self, module: nn.Module, hook: Hook, *, first: bool = False) -> None:
        """Call a hook when a module is entered."""
        self.handles.append(module.register_forward_pre_hook(hook, prepend=first, with_kwargs=True))

    def inside(self, at_ops: dict[str, list[Site]]) -> set[str]:
        """Return the modules whose operations must not be taken for those of a scope around them."""
        anatomy, found = self.run.anatomy, set[str]()
        paths: dict[int, str] = {}  # of each module, the one that the anatomy knows it by
        for path, sites in at_ops.items():
            rules = [site.tap.rule for site in sites if site.tap.rule]
            functions = {rule.function for rule in rules}
            if any(rule.depth for rule in rules) or functions & anatomy.functions_below.get(path, set()):
                paths = paths or {id(module): name for name, module in self.run.root.named_modules()}
                scope = module_at(self.run.root, path)
                found |= {paths[id(module)] for module in scope.modules() if module is not scope}
                record = anatomy.by_path.get(path)
                found |= set(record.strays if record else ())
        return found

    def lead_hooks(self, sites: list[Site]) -> None:
        """Note the leading dimensions of what enters the modules that flattened points take them from."""
        run = self.run
        for path, key in {
            site.point.lead.path: site.point.lead.slot for site in sites if site.point.lead
        }.items():

            def hook(
                module: nn.Module, args: Any, kwargs: Any = None, path: str = path, key: Any = key
            ) -> None:
                if run.mine():
                    tensor = arguments.find(module, (args, kwargs), key)
                    plain = isinstance(tensor, torch.Tensor) and not packed(tensor)
                    run.leads[path] = tuple(tensor.shape) if plain else ()

            self.before(module_at(run.root, path), hook)
        for site in sites:
            site.leads = run.leads

    def counters(self, sites: list[Site], within: str) -> None:
        """Count the calls of modules anew when the module around them is entered, and check the count when it is left.

        A call is known by its number. Where a run makes more calls than the watched forward, or fewer, the number
        would stand for another call.
        """
        run, module = self.run, module_at(self.run.root, within)

        def enter(module: nn.Module, args: Any, kwargs: Any = None) -> None:
            if run.mine():
                run.turns.update({site.tap.path: -run.turns[site.tap.path] for site in sites})

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            if not run.mine():
                return
            for site in sites:
                seen = run.turns[site.tap.path]
                if seen not in (0, site.tap.calls):
                    raise RunMismatchError(
                        f"{site.point.name} is call {site.tap.turn} of {site.tap.path}, which the watched forward "
                        f"called {site.tap.calls} times and this run {seen} times. "
                        "Attach again with an example like this input."
                    )

        self.before(module, enter, first=True)
        self.handles.append(module.register_forward_hook(leave))

    def module_hooks(self, path: str, sites: list[Site], *, counted: bool) -> None:
        """Hook a module for the sites at its inputs and outputs."""
        module = module_at(self.run.root, path)
        entering = [site for site in sites if site.tap.side == "in"]
        leaving = [site for site in sites if site.tap.side == "out"]
        if counted or entering:
            self.before(module, self.on_enter(path, entering, counted=counted))
        if leaving:  # before a frame is popped, so that the scope around learns of a replaced output
            first = any(site.edits for site in leaving)  # before any hook that keeps what the module gives
            self.handles.append(module.register_forward_hook(self.on_leave(path, leaving), prepend=first))

    def on_enter(self, path: str, sites: list[Site], *, counted: bool) -> Hook:
        """Return the hook that visits the inputs of a module."""
        run, always = self.run, not any(site.tap.turn is not None for site in sites)

        def hook(module: nn.Module, args: Any, kwargs: Any = None) -> Any:
            if not run.mine():
                return None
            if counted:
                run.turns[path] += 1
            given, changed = (args, kwargs), False
            for site in sites if always else run.now(sites, path):
                key = cast(Key, site.tap.slot)
                tensor = arguments.find(module, given, key)
                if not isinstance(tensor, torch.Tensor):
                    raise missing(site, "takes no such argument")
                new = run.visit(site, tensor)
                if new is not None:
                    given, changed = arguments.put(module, given, key, new), True
            return given if changed else None

        return hook

    def on_leave(self, path: str, sites: list[Site]) -> Hook:
        """Return the hook that visits the outputs of a module."""
        run, always = self.run, not any(site.tap.turn is not None for site in sites)

        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            if not run.mine():
                return None
            result, changed = output, False
            for site in sites if always else run.now(sites, path):
                key = cast(Key, site.tap.slot)
                tensor = get(result, key)
                if not isinstance(tensor, torch.Tensor):
                    raise missing(site, "gives no such output")
                new = run.visit(site, tensor)
                if new is not None:
                    result, changed = replace(result, key, new), True
            return result if changed else None

        return hook

    def scope_hooks(self, path: str, sites: list[Site]) -> None:
        """Hook a module to push a frame when it is entered and pop it when it is left, by an exception too."""
        run, module = self.run, module_at(self.run.root, path)
        scopes = run.scopes

        def enter(module: nn.Module, args: Any, kwargs: Any = None) -> None:
            if not run.mine():
                return
            now = run.now(sites, path)
            frame = Frame(path, now, scopes.names) if now else None
            if frame is not None:
                with scopes.unseen():
                    frame.entered(arguments.tensors(module, args, kwargs))
            scopes.enter_frame(frame)

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            if not run.mine() or not scopes.frames:
                return
            frame = scopes.leave_frame()
            if output is None:  # the module raised
                return
            around = scopes.frames[-1] if scopes.frames else None
            if around is not None and around.labels:
                with scopes.unseen():
                    around.labeller.returned(path, leaves(output))
            if frame is not None:
                frame.check()
                for site in frame.sites:
                    run.reached(site)

        self.before(module, enter)
        self.handles.append(module.register_forward_hook(leave, always_call=True))


def missing(site: Site, what: str) -> RunMismatchError:
    """Say that a module has no tensor where the anatomy has one."""
    return RunMismatchError(
        f"{site.point.name} is at {site.tap.where()}, but in this run the module {what}. "
        "Attach again with an example like this input."
    )


def module_at(root: nn.Module, path: str) -> nn.Module:
    """Return the module at a path; RunMismatchError if the model has none there any more."""
    found: Any = root
    for part in path.split(".") if path else ():
        found = found._modules.get(part)
        if found is None:
            raise RunMismatchError(
                f"{type(root).__name__} has no module {path}, which was there in the watched forward. Attach again."
            )
    return cast(nn.Module, found)
