"""The clock of a run: which step it is in, and which step a visit to a point belongs to."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from anylens.core.errors import RunError
from anylens.running.active import activated, active
from anylens.running.step import Reader, Step, read_step

Listener = Callable[[Step], None]


class Clock:
    """Counts the calls of the step module.

    A visit within such a call belongs to that step. A point that is reached outside of them (an encoder beside a
    decoder's steps), or again and again within the first (a cell in a loop), is counted by its own visits.
    """

    def __init__(
        self,
        module: nn.Module,
        read: Reader = read_step,
        entered: Listener | None = None,
        left: Listener | None = None,
    ) -> None:
        self.module = module
        self.read = read
        self.entered, self.left = entered, left
        self.entries = 0
        self.current: Step | None = None
        self._visits: Counter[str] = Counter()
        self._last: dict[str, Step] = {}
        self._loops: set[str] = set()
        self._handles: list[RemovableHandle] = []

    @property
    def heard(self) -> bool:
        """Whether somebody listens."""
        return self.entered is not None

    def step_of(self, name: str) -> Step:
        """Count a visit to a point and return the step it belongs to.

        Raises RunError if a later step reaches a point more often than the first one did: its visits have no number.
        """
        seen = self._visits[name]
        self._visits[name] += 1
        now = self.current
        if now is None or name in self._loops:
            return Step(seen, own=True)
        if self._last.get(name) is now:
            if now > 0:
                raise RunError(
                    f"{name} was reached twice in step {int(now)} and once in the steps before. Name one of its calls "
                    "(`<module path>.calls.<k>...`), or pass step=... with the module whose calls are the steps."
                )
            self._loops.add(name)
            return Step(seen, own=True)
        self._last[name] = now
        return now

    def enter(self, module: nn.Module, args: Any, kwargs: Any = None) -> Any:
        """Begin a step. Hooks that who listens puts on this very module meanwhile act in this step already."""
        if active(id(self)) is not self:
            return None
        self.current = self.read(self.entries, module, args, kwargs or {})
        self.entries += 1
        if self.entered is None:
            return None
        before = set(module._forward_pre_hooks)
        self.entered(self.current)
        given, changed = (args, kwargs or {}), False
        for number, hook in list(module._forward_pre_hooks.items()):
            new = hook(module, *given) if number not in before and hook != self.enter else None
            given, changed = (given, changed) if new is None else (new, True)
        return given if changed else None

    def leave(self, module: nn.Module, args: Any, output: Any) -> None:
        """End a step; an exception ends it too, without a word to who listens."""
        if active(id(self)) is self and self.current is not None:
            step, self.current = self.current, None
            if output is not None and self.left is not None:
                self.left(step)

    def listen(self) -> None:
        """Hear the step module before all other hooks when it is entered, and after them when it is left."""
        self.hush()
        self._handles = [
            self.module.register_forward_pre_hook(self.enter, prepend=True, with_kwargs=True),
            self.module.register_forward_hook(self.leave, always_call=True),
        ]

    def hush(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()


@contextmanager
def ticking(clock: Clock | None) -> Iterator[None]:
    """Have a clock count while some code runs in this thread or task."""
    if clock is None:
        yield
        return
    try:
        clock.listen()
        with activated(id(clock), clock):
            yield
    finally:
        clock.hush()


def step_module(root: nn.Module, path: str) -> nn.Module:
    """Return the module whose calls are steps; RunError if the model has none at that path."""
    try:
        return root.get_submodule(path)
    except AttributeError as error:
        raise RunError(f"{type(root).__name__} has no module {path!r} whose calls could be steps.") from error
