"""Sparse autoencoders on rows from any point: variants as their papers have them, the sparse step, files."""

from anylens.sae.base import Feature, Sae, Terms
from anylens.sae.files import load, save
from anylens.sae.ranks.group import leads, local_device
from anylens.sae.settings import Settings
from anylens.sae.steering import steer
from anylens.sae.train import train
from anylens.sae.variants import VARIANTS, make

__all__ = [
    "VARIANTS",
    "Feature",
    "Sae",
    "Settings",
    "Terms",
    "leads",
    "load",
    "local_device",
    "make",
    "save",
    "steer",
    "train",
]
