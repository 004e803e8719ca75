"""A demo with a training far too short, for what must hold of any."""

import dataclasses

import pytest

from anylens.cli.demo import demo, one_thread, quiet
from anylens.demo.modalities import MODALITIES


def tiny(name):
    """A modality with few samples and steps, and one value to steer towards."""
    modality = MODALITIES[name]
    few = {"samples": 64, "steps": 12, "batch": 64, "held_out": 192, "trials": (8, 16), "strengths": (2,)}
    recipe = dataclasses.replace(modality.recipe, **few, steered=(modality.towards[0],))
    return dataclasses.replace(modality, recipe=recipe, more=None, examples=3)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """What the demo of a vision model leaves."""
    folder = tmp_path_factory.mktemp("demo")
    with one_thread(), quiet():
        demo(tiny("vision"), folder)
    return folder
