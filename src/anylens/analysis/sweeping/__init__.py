"""How a sweep runs: its cells, what they share, and the labelled grid that comes of it."""
