"""The catalogue knows its models and helps whoever asks for another."""

import importlib

import pytest

from anylens.core.errors import ZooError
from anylens.zoo.catalogue import ENTRIES, entry, names


def test_names_are_unique_and_found():
    assert len(set(names())) == len(ENTRIES)
    assert [entry(name).name for name in names()] == list(names())


def test_a_near_name_is_offered():
    with pytest.raises(ZooError, match=r"no model called 'shapes-vti'; did you mean shapes-vit\?"):
        entry("shapes-vti")


def test_a_name_like_none_lists_all():
    with pytest.raises(ZooError, match="no model called 'gpt'; the zoo has shapes-vit"):
        entry("gpt")


@pytest.mark.parametrize("known", ENTRIES, ids=names())
def test_every_entry_has_its_world_measure_and_files(known):
    assert callable(importlib.import_module(f"anylens.zoo.worlds.{known.world}").sample)
    assert callable(importlib.import_module(f"anylens.zoo.measure.{known.measure}").measure)
    found = {path.name for path in known.folder.iterdir()}
    assert {"config.json", "model.safetensors", "card.json"} <= found
    assert (known.processor_class is not None) == ("preprocessor_config.json" in found)
    assert sum(path.stat().st_size for path in known.folder.iterdir()) < 4e6
