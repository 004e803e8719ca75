"""Operations found again at run time: a function mode that is awake in the scopes that hold a tap.

Each entry into such a scope gets a frame with labels of its own, made by the same rules as in the watched forward.
An operation is a site's when it bears the label of the site's rule. When the scope is left, every rule must have
been met as often as the anatomy says: more or fewer is an error, not a guess.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from anylens.anatomy.labels import Labeller
from anylens.anatomy.perform import perform, writes, written_back
from anylens.anatomy.points import Rule
from anylens.anatomy.vocabulary import SILENT
from anylens.anatomy.watch import name_of
from anylens.core.errors import RunMismatchError
from anylens.core.opened import OPENED
from anylens.core.tree import Key, leaves, replace
from anylens.running.sites import Site, nested, packed
from anylens.running.standins import STAND_INS, Heads

RuleKey = tuple[str, int, str]


def rule_key(rule: Rule) -> RuleKey:
    """Return what rules that count together have in common."""
    return rule.function, rule.depth, rule.label


class Frame:
    """One entry into a scope: its sites, its labels, and how often each rule was met."""

    def __init__(self, path: str, sites: list[Site], names: dict[int, str]) -> None:
        self.path = path
        self.sites = sites
        self.functions = {site.tap.rule.function for site in sites if site.tap.rule}
        depth = max((site.tap.rule.depth for site in sites if site.tap.rule), default=0)
        self.labeller = Labeller(names, depth)
        self.labels = depth > 0
        self.met: Counter[RuleKey] = Counter()
        self.replaced: dict[
            str, str
        ] = {}  # functions with a stand-in in their place -> a point that wants it
        self.lead: tuple[int, ...] = ()  # the dimensions before the features, in what entered the scope

    def entered(self, given: list[tuple[Key, torch.Tensor]]) -> None:
        """Take note of what enters the scope."""
        self.labeller.entered(given)
        if given and packed(given[0][1]):
            raise nested(self.path or "the model")
        self.lead = tuple(given[0][1].shape[:-1]) if given else ()

    def sites_of(self, function: str, operands: list[torch.Tensor]) -> list[Site]:
        """Return the sites at the operation that is about to run, and count it."""
        if function not in self.functions:
            return []
        labels = self.labeller.operation(function, operands)
        found, keys = [], set()
        for site in self.sites:
            rule = site.tap.rule
            assert rule is not None
            if rule.function == function and labels[rule.depth] == rule.label:
                keys.add(rule_key(rule))
                if self.met[rule_key(rule)] == rule.index:
                    found.append(site)
        self.met.update(keys)
        return found

    def check(self) -> None:
        """Refuse a scope that showed another number of operations than the anatomy has."""
        for site in self.sites:
            rule = site.tap.rule
            assert rule is not None
            seen = self.met[rule_key(rule)]
            if seen < rule.count and self.replaced:
                raise self.hidden(site)
            if seen != rule.count:
                times = "once" if rule.count == 1 else f"{rule.count} times"
                raise RunMismatchError(
                    f"{site.point.name} is the {rule.function} in {self.path or 'the model'} that computes "
                    f"{rule.label}. The watched forward showed it {times}, this run {seen} times. "
                    "The run took another branch: attach again with an example like this input."
                )

    def hidden(self, site: Site) -> RunMismatchError:
        """Say that an operation is not there because a stand-in has the place of the function around it."""
        key, name = next(iter(self.replaced.items()))
        return RunMismatchError(
            f"{site.point.name} is an operation of a function, {key}, in whose place a stand-in runs for {name}. "
            "Ask for the two in separate runs."
        )


class Scopes(TorchFunctionMode):
    """The function mode of a run. Frames are pushed and popped by the hooks of the run."""

    def __init__(self, names: dict[int, str]) -> None:
        super().__init__()
        self.names = names
        self.frames: list[
            Frame | None
        ] = []  # None stands for a module inside a scope whose operations are its own
        self.awake = False
        self.busy = False

    def enter_frame(self, frame: Frame | None) -> None:
        """Enter a scope, or a module inside one."""
        if not self.awake and frame is not None:
            self.__enter__()
            self.awake = True
        if self.awake:
            self.frames.append(frame)

    def leave_frame(self) -> Frame | None:
        """Leave the scope or module entered last."""
        frame = self.frames.pop()
        if not self.frames:
            self.sleep()
        return frame

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """Let torch functions pass unlooked at: those of a hook are not the model's."""
        before, self.busy = self.busy, True
        try:
            yield
        finally:
            self.busy = before

    def sleep(self) -> None:
        """Take the mode off, whatever was entered and never left."""
        self.frames.clear()
        if self.awake:
            self.awake = False
            self.__exit__(None, None, None)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.compiler.is_compiling():  # a compiler is tracing this: it must not trace the watcher too
            return func(*args, **kwargs)
        frame = self.frames[-1] if self.frames else None
        if frame is None or self.busy:
            return func(*args, **kwargs)
        name = name_of(func)
        if name in SILENT or not (frame.labels or name in frame.functions or func in OPENED):
            return func(*args, **kwargs)
        if func in OPENED:
            with self:
                return OPENED[func](*args, **kwargs)
        operands = [tensor for _, tensor in leaves((args, kwargs))]
        sites = frame.sites_of(name, operands)
        if not sites and not frame.labels:
            return func(*args, **kwargs)
        labels = frame.labeller.operation(name, operands)
        return self.act(frame, (func, name, labels), (args, kwargs), sites)

    def act(
        self,
        frame: Frame,
        op: tuple[Callable[..., Any], str, tuple[str, ...]],
        given: tuple[tuple[Any, ...], dict[str, Any]],
        sites: list[Site],
    ) -> Any:
        """Run one operation with its sites: what enters, what is inside, what leaves."""
        func, name, labels = op
        before = [tensor for _, tensor in leaves(given)]
        for site in (site for site in sites if site.tap.side == "in"):
            key, tensor = list(leaves(given))[int(str(site.tap.slot))]
            new = site.visit(tensor)
            if new is not None and writes(func, given[1]):
                new = new.clone()  # it may be someone's own, and is about to be changed
            given = given if new is None else replace(given, key, new)
        inside = [site for site in sites if site.tap.side == "inside"]
        done = perform(self.stand_in(frame, name, inside) if inside else func, *given)
        if done.changed:
            done = written_back(done, before)
        result = done.result
        outputs = done.outputs
        changed = {id(tensor) for tensor in done.changed}
        for site in (site for site in sites if site.tap.side == "out"):
            tensor = outputs[int(str(site.tap.slot))]
            new = site.visit(tensor)
            if new is None:
                continue
            if id(tensor) in changed:  # others hold this very tensor: the new content goes into it
                tensor.copy_(new)
                continue
            keys = [key for key, leaf in leaves(result) if leaf is tensor]
            result = replace(result, keys[0], new)
            outputs = [new if out is tensor else out for out in outputs]
        if frame.labels:
            frame.labeller.label(labels, outputs)
        return result

    def stand_in(self, frame: Frame, name: str, sites: list[Site]) -> Callable[..., Any]:
        """Return the stand-in for a function, showing its sites to those who asked."""

        def visit(site: str, value: torch.Tensor) -> torch.Tensor:
            for one in (one for one in sites if one.tap.slot == site):
                new = one.visit(value)
                value = value if new is None else new
            return value

        options: dict[str, Any] = {"visit": visit}
        if heads := max(site.tap.heads for site in sites):
            options["heads"] = Heads(heads, frame.lead)

        def replaced(*args: Any, **kwargs: Any) -> Any:
            return STAND_INS[name](*args, **kwargs, **options)

        return replaced
