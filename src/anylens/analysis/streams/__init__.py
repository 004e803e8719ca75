"""A residual stream as it ran: its parts, how each carries on to the next state, and what stands before the output."""
