"""What every other part rests on: names, axes, errors, plugin loading."""

__version__ = "0.1.0"
