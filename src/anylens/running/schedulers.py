"""What a scheduler's `step` returns, shown to the paused run that called it and to no other."""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

from anylens.running.active import activated, active

Catch = Callable[[Any], Any]  # from what `step` returns to what goes on in its place

_LOCK = threading.Lock()


class Caught:
    """Stands on one scheduler in the place of its `step`, with the same signature, while some runs want to see that."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler, self.original, self.runs = scheduler, scheduler.step, 0
        self.before = vars(scheduler).get("step")
        functools.update_wrapper(self, scheduler.step)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make the scheduler's step, and show what it gives to the run under way in this thread."""
        result = self.original(*args, **kwargs)
        catch: Catch | None = active(id(self.scheduler))
        return result if catch is None else catch(result)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copy of the scheduler goes by its own state, and is not seen."""
        return MethodType(type(self.scheduler).step, memo[id(self.scheduler)])

    def remove(self) -> None:
        """Give the scheduler its own `step` back."""
        if self.before is None:
            del self.scheduler.step
        else:
            self.scheduler.step = self.before


@contextmanager
def catching(scheduler: Any, catch: Catch) -> Iterator[None]:
    """Hand what a scheduler's `step` returns to `catch`. Only this object's attribute is set, and it goes again."""
    with _LOCK:
        caught = vars(scheduler).get("step")
        if not isinstance(caught, Caught):
            caught = scheduler.step = Caught(scheduler)
        caught.runs += 1
    try:
        with activated(id(scheduler), catch):
            yield
    finally:
        with _LOCK:
            caught.runs -= 1
            if not caught.runs:
                caught.remove()
