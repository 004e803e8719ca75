"""The catalogue knows its models and helps whoever asks for another."""

import importlib

import pytest
import torch
from safetensors.torch import load_file

from anylens.core.errors import ZooError
from anylens.zoo import card, check, files
from anylens.zoo.catalogue import ENTRIES, Target, entry, names


def test_names_are_unique_and_found():
    assert len(set(names())) == len(ENTRIES)
    assert [entry(name).name for name in names()] == list(names())


def test_a_near_name_is_offered():
    with pytest.raises(ZooError, match=r"no model called 'shapes-vti'; did you mean shapes-vit"):
        entry("shapes-vti")


def test_a_name_like_none_lists_all():
    with pytest.raises(ZooError, match="no model called 'gpt'; the zoo has shapes-vit"):
        entry("gpt")


@pytest.mark.parametrize("known", ENTRIES, ids=names())
def test_every_entry_has_its_world_its_modules_and_its_files(known):
    assert callable(importlib.import_module(f"anylens.zoo.worlds.{known.world}").sample)
    assert callable(importlib.import_module(f"anylens.zoo.measure.{known.measure}").measure)
    assert importlib.import_module(known.script).SCRIPT.name == known.name
    found = {path.relative_to(known.folder).as_posix() for path in known.folder.rglob("*")}
    assert {files.CARD, files.INDEX if known.kind == "pipeline" else files.CONFIG} <= found
    assert known.processor_class is None or set(known.processor_files) <= found
    assert not any(path.endswith(".part") for path in found)


@pytest.mark.parametrize("known", ENTRIES, ids=names())
def test_weights_are_small_and_float16_and_those_of_the_card(known):
    weights = sorted(known.folder.rglob("*.safetensors"))
    assert sum(path.stat().st_size for path in known.folder.rglob("*") if path.is_file()) < 4e6
    assert {path.relative_to(known.folder).as_posix() for path in weights} == set(
        card(known.name)["weights_sha256"]
    )
    stored = [value for path in weights for value in load_file(path).values()]
    assert {value.dtype for value in stored if value.is_floating_point()} == {torch.float16}


def test_all_weights_together_are_less_than_thirty_megabytes():
    assert sum(card(name)["weights_bytes"] for name in names()) < 30e6


@pytest.mark.parametrize("known", ENTRIES, ids=names())
def test_every_target_was_reached_or_it_is_said_why_not(known):
    missed = check.missed(known, card(known.name)["measured"])
    assert bool(missed) == bool(known.shortfall)


def test_a_target_is_a_bound_on_one_number():
    scores = {"psnr": 26.123, "accuracy_of": {"shape": 0.5}}
    psnr, shape = Target(score="psnr", at_least=25, unit="dB"), Target(score="accuracy_of.shape", at_most=0.4)
    assert psnr.reached(scores)
    assert not shape.reached(scores)
    assert shape.reached(scores, slack=0.1)
    assert (psnr.told(scores), psnr.wanted) == ("psnr 26.12 dB", "at least 25 dB")
    assert (
        Target(score="accuracy_of.shape", at_least=0.9, unit="%").told(scores) == "accuracy of shape 50.00%"
    )


def test_a_target_of_two_bounds_or_of_what_was_not_measured_is_refused():
    with pytest.raises(ZooError, match="one bound"):
        Target(score="psnr", at_least=1, at_most=2)
    with pytest.raises(ZooError, match="nothing called psnr was measured; there is accuracy"):
        Target(score="psnr", at_least=1).reached({"accuracy": 1.0})
