"""A choice of steps: an int, a list in any order, a slice, or a predicate, also where the end is not known yet."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from anylens.core.errors import EditError, RunError
from anylens.running.step import Step

Choice = int | slice | Iterable[int] | Callable[[Step], bool] | None


@dataclass(frozen=True)
class Chooser:
    """Which steps are kept: an int, a list in any order, a slice, a predicate; None keeps all.

    What counts from the end is decided when the end is known; until then every step that could be meant is kept.
    """

    choice: Choice = None

    def __post_init__(self) -> None:
        """Keep a list of what may be gone through but once; refuse what is no choice of steps."""
        choice = self.choice
        if choice is None or callable(choice):
            return
        if isinstance(choice, Iterable):
            object.__setattr__(self, "choice", tuple(choice))
        parts = self._numbers
        fits = all(hasattr(part, "__index__") for part in parts) and not (
            isinstance(choice, slice) and choice.step == 0
        )
        if not fits:
            raise RunError(
                f"steps takes an int, a slice, a list of ints or a predicate, and was given {choice!r}."
            )

    @property
    def _numbers(self) -> tuple[int, ...]:
        choice = self.choice
        if isinstance(choice, slice):
            return tuple(part for part in (choice.start, choice.stop, choice.step) if part is not None)
        if isinstance(choice, tuple):
            return choice
        return () if choice is None or callable(choice) else (choice,)  # type: ignore[return-value]

    @property
    def from_the_end(self) -> bool:
        """Whether any part of the choice counts from the end."""
        return any(number < 0 for number in self._numbers)

    def may_keep(self, step: Step, back: int = 1) -> bool:
        """Whether a step can be among the chosen, when it lies `back` steps before the end as known so far.

        `back` only grows: what cannot be chosen now never will be.
        """
        choice = self.choice
        if choice is None:
            return True
        if callable(choice):
            return back > 1 or bool(choice(step))
        if isinstance(choice, slice):
            return _in_slice(choice, int(step), back)
        return any(int(step) == number if number >= 0 else back <= -number for number in self._numbers)

    def order(self, steps: Sequence[Step]) -> list[int]:
        """Return the places in `steps` of the chosen ones, in the order of the choice; what never came is left out."""
        choice, count = self.choice, len(steps)
        if choice is None:
            return list(range(count))
        if callable(choice):
            return [place for place in range(count) if choice(steps[place])]
        numbers = [int(step) for step in steps]
        if numbers == list(range(count)):
            if isinstance(choice, slice):
                return list(range(count))[choice]
            return [n % count for n in self._numbers if -count <= n < count]
        return self._order_with_gaps(numbers)

    def _order_with_gaps(self, numbers: list[int]) -> list[int]:
        """Choose where a point was not reached in every step: by the numbers of the steps, the last being the end."""
        end = numbers[-1] + 1
        places = {number: place for place, number in enumerate(numbers)}
        if isinstance(self.choice, slice):
            wanted: Iterable[int] = range(end)[self.choice]
        else:
            wanted = (number % end for number in self._numbers if -end <= number < end)
        return [places[number] for number in wanted if number in places]


def _in_slice(choice: slice, step: int, back: int) -> bool:
    """Whether a slice can still choose a step that lies at least `back` before the end, wherever the end will be."""
    start, stop, stride = choice.start, choice.stop, choice.step or 1
    if stride > 0:
        if start is None or start >= 0:
            begins = step >= (start or 0) and (step - (start or 0)) % stride == 0
        else:
            begins = back <= -start
        return bool(begins and (stop is None or stop < 0 or step < stop))
    below = start is None or start < 0 or step <= start
    above = stop is None or (step > stop if stop >= 0 else back < -stop)
    return bool(below and above)


def for_edits(choice: Choice) -> Chooser:
    """Return a choice that can be made while the run goes on; raise EditError for any other."""
    try:
        chooser = Chooser(choice)
    except RunError as error:
        raise EditError(str(error)) from None
    if chooser.from_the_end:
        raise EditError(f"{choice} counts from the end, which an edit cannot know while the run goes on.")
    return chooser
