"""Families: what watching a model cannot show, as plugins. See `family.Family` for what one says."""

from anylens.anatomy.functions import StandIn, Visit
from anylens.families.family import Family, Matches
from anylens.families.layouts import Cells, Layout, Parts, Patches, Place, Tokens
from anylens.families.named import Named
from anylens.families.recurrence import Recurrence
from anylens.families.registry import families, family_for, family_named, problems
from anylens.families.side_by_side import Crossed, Joint

__all__ = [
    "Cells",
    "Crossed",
    "Family",
    "Joint",
    "Layout",
    "Matches",
    "Named",
    "Parts",
    "Patches",
    "Place",
    "Recurrence",
    "StandIn",
    "Tokens",
    "Visit",
    "families",
    "family_for",
    "family_named",
    "problems",
]
