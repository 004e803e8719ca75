"""Conformance: the contract of a lens, checked against the model itself.

`check(lens, example)` runs every check of `table.CHECKS` and returns a `Report`.
"""

from anylens.conformance.checking import check
from anylens.conformance.report import Failure, Outcome, Report
from anylens.conformance.sampling import Sampling
from anylens.conformance.table import CHECKS, Check

__all__ = ["CHECKS", "Check", "Failure", "Outcome", "Report", "Sampling", "check"]
