"""How a sweep runs: its cells, what they share, and what is run."""

from anylens.analysis.sweeping.cells import Windows
from anylens.analysis.sweeping.subject import Metric, Settings

__all__ = ["Metric", "Settings", "Windows"]
