"""The distribution in tests/plugin: a family for a model class of its own."""

import pytest
import torch
from anylens_duet.model import Duet, DuetSettings

import anylens
from anylens.core.errors import UnknownPointError
from anylens.families import Tokens, family_for
from tests.families.plant import only
from tests.models import MODELS


@pytest.fixture
def lens():
    return anylens.attach(Duet())


def test_it_needs_no_example(lens):
    assert lens.family.name == "duet"
    assert lens.points["hook_in"].shape == (2, 7)


def test_components_carry_its_names(lens):
    assert [stream.prefix for stream in lens.anatomy.streams] == ["melody", "rhythm"]
    assert lens.points["melody.blocks.2.hook_resid_post"].tap.path == "upper_part.layers.2"
    assert lens.points["rhythm.hook_embed"].tap.path == "lower_part.embed"
    assert lens.points["upper_part.layers.2.hook_out"].kind == "native"
    with pytest.raises(UnknownPointError):
        lens.points["upper_part.blocks.2.hook_resid_post"]


def test_aliases_read_and_edit(lens):
    example = lens.family.example_of(lens.model)
    out, cache = lens.run_with_cache(example, points=["notes", "note.1"])
    assert list(cache) == [f"melody.blocks.{i}.hook_resid_post" for i in range(3)]
    assert torch.equal(cache["note.1"], cache["melody.blocks.1.hook_resid_post"])
    edited = lens.run_with_hooks(example, hooks={"note.1": anylens.scale(0.0)})
    named = lens.run_with_hooks(example, hooks={"melody.blocks.1.hook_resid_post": anylens.scale(0.0)})
    assert torch.equal(edited, named)
    assert not torch.equal(edited, out)


def test_the_layout_says_which_argument(lens):
    assert isinstance(lens.layout, Tokens)
    assert lens.layout.argument("rhythm") == "beats"


def test_the_anatomy_comes_from_behaviour_in_any_case():
    model = Duet(DuetSettings(blocks=2))
    example = family_for(model).example_of(model)
    with only(lambda entry: entry.name != "duet"):
        plain = anylens.attach(model, example)
    known = anylens.attach(model)  # remembered without the family's names, and named again
    assert [stream.prefix for stream in plain.anatomy.streams] == ["upper_part", "lower_part"]
    assert [stream.prefix for stream in known.anatomy.streams] == ["melody", "rhythm"]
    assert [stream.blocks for stream in plain.anatomy.streams] == [s.blocks for s in known.anatomy.streams]
    assert [p.tap for p in plain.anatomy.canonical] == [p.tap for p in known.anatomy.canonical]


@pytest.mark.parametrize("name", MODELS)
def test_every_other_model_is_as_without_it(name):
    model, example = MODELS[name]()
    family = family_for(model)
    with only(lambda entry: entry.name != "duet"):
        assert family_for(model) == family
        without = anylens.attach(model, example).anatomy
    assert anylens.attach(model, example).anatomy.to_json() == without.to_json()
