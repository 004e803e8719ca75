"""Families: what watching a model cannot show, as plugins. See `family.Family` for what one says."""

from anylens.families.family import Family, Matches
from anylens.families.layouts import Cells, Layout, Parts, Patches, Place, Tokens
from anylens.families.named import Named
from anylens.families.registry import families, family_for, family_named, problems

__all__ = [
    "Cells",
    "Family",
    "Layout",
    "Matches",
    "Named",
    "Parts",
    "Patches",
    "Place",
    "Tokens",
    "families",
    "family_for",
    "family_named",
    "problems",
]
