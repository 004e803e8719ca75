"""A recurrence with its states shown, for stand-ins: what is edited at one position flows into all later ones."""

from collections.abc import Callable

import torch

Advance = Callable[[torch.Tensor, int], torch.Tensor]


class Recurrence:
    """The states behind each position, of which each follows from the one before.

    Args:
        first: the state before the first position.
        advance: `advance(state, position)` is the state behind that position, given the one before it.
        count: the number of positions.

    An edit says what states are, element by element: where it gives another number than it was shown, the state there
    is that number; everywhere else the state follows from the one before it, edited or not. It is what
    `anylens.anatomy.functions.Flow` asks for: give it to `visit` with the states.
    """

    def __init__(self, first: torch.Tensor, advance: Advance, count: int) -> None:
        self.first = first
        self.advance = advance
        self.count = count
        self.set: torch.Tensor | None = None  # where an edit says what the state is
        self.values: torch.Tensor | None = None
        self.copies: list[
            torch.Tensor
        ] = []  # equal to the states; gradients reach them with all that follows
        self.states = self._run()  # [batch, position, ...]

    def edited(self, new: torch.Tensor) -> torch.Tensor:
        """Take edited states; return them with the later ones as they follow."""
        with torch._C.DisableTorchFunction():  # to compare is not to compute
            changed = ~((new == self.states) | (new.isnan() & self.states.isnan()))
            if not bool(changed.any()):
                return self.states
        self.values = new if self.values is None else torch.where(changed, new, self.values)
        self.set = changed if self.set is None else changed | self.set
        self.states = self._run()
        return self.states

    def followed(self, new: torch.Tensor) -> torch.Tensor:
        """Take a copy of the states; return states with a gradient at the copy of all that follows from each."""
        self.copies.append(new)
        self.states = self._run()
        return self.states

    def _run(self) -> torch.Tensor:
        state, states = self.first, []
        for position in range(self.count):
            state = self.advance(state, position)
            if self.set is not None and self.values is not None:
                state = torch.where(self.set[:, position], self.values[:, position], state)
            for copy in self.copies:
                state = state + (copy[:, position] - copy[:, position].detach())
            states.append(state)
        return torch.stack(states, 1)
