"""Plugins are found, checked when they register, and cannot harm each other."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

import anylens
from anylens.core.errors import FamilyConflictError, FamilyError
from anylens.families import families, family_for, family_named, problems
from tests.families.plant import sound
from tests.models import MODELS

BUILT_IN = {"text", "vision transformer", "convolutional"}
HEAD = "from anylens.families import Family, Matches, Tokens\n"


class Strange(nn.Module):
    """A model that only planted plugins claim."""

    def __init__(self, width=3):
        super().__init__()
        self.map = nn.Linear(width, width)

    def forward(self, input):
        return self.map(input)


class Stranger(Strange):
    """One that derives from it."""


def test_built_ins_come_in_by_the_entry_points():
    assert {family.name for family in families()} >= BUILT_IN
    assert not problems()


def test_importing_anylens_imports_no_plugin():
    script = "import anylens, json, sys; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    loaded = set(json.loads(done.stdout))
    assert "anylens.families.registry" in loaded
    assert not loaded & {"anylens_duet", "anylens.families.text", "anylens.families.convolutional"}


def test_a_sound_plugin_is_used(install):
    install("sound-one", sound("strange", "Strange"))
    lens = anylens.attach(Strange())
    assert lens.family.name == "strange"
    assert "map.hook_out" in lens.points


def test_classes_that_derive_are_claimed_too(install):
    install("sound-one", sound("strange", "Strange"))
    assert family_for(Stranger()).name == "strange"
    assert family_for(nn.Linear(2, 2)) is None


@pytest.mark.parametrize(
    ("family", "said"),
    [
        (
            "Family(name='f', matches=Matches(classes=('Strange',)))",
            ["field example", "a function", "found nothing"],
        ),
        ("Family(name='f', example=print)", ["field matches", "model_types, classes", "found nothing"]),
        ("Family(matches=Matches(classes=('Strange',)), example=print)", ["field name", "found nothing"]),
        ("Family(name=7, matches=Matches(classes=('A',)), example=print)", ["field name", "found 7 (int)"]),
        (
            "Family(name='f', matches='Strange', example=print)",
            ["field matches", "Matches", "'Strange' (str)"],
        ),
        (
            "Family(name='f', matches=Matches(classes='Strange'), example=print)",
            ["field matches.classes", "a tuple of strings", "'Strange' (str)"],
        ),
        (
            "Family(name='f', matches=Matches(classes=('A',)), example=print, layout='tokens')",
            ["field layout", "a Layout", "'tokens' (str)"],
        ),
        (
            "Family(name='f', matches=Matches(classes=('A',)), example=print, aliases={1: 'x'})",
            ["field aliases", "from string to string", "{1: 'x'} (dict)"],
        ),
        ("{'name': 'f'}", ["expected an anylens.families.Family", "(dict)"]),
        ("Family(name='f', exmaple=print)", ["TypeError", "exmaple"]),
        ("1 / 0", ["ZeroDivisionError"]),
    ],
)
def test_a_broken_plugin_is_refused_by_name_and_alone(install, family, said):
    install("broken-one", f"{HEAD}family = {family}\n")
    install("sound-one", sound("strange", "Strange"))
    with pytest.warns(UserWarning, match="broken-one"):
        assert family_for(Strange()).name == "strange"
    (problem,) = problems()
    assert isinstance(problem, FamilyError)
    for words in ["broken-one", *said]:
        assert words in str(problem)
    assert {family.name for family in families()} >= BUILT_IN
    model, example = MODELS["gpt2"]()
    assert anylens.attach(model).family.name == "text"
    assert torch.equal(model(**example).logits, anylens.attach(model).model(**example).logits)


def test_what_a_plugin_raised_is_the_cause(install):
    install("broken-one", "raise OSError('no licence')\n")
    with pytest.warns(UserWarning, match="no licence"):
        (problem,) = problems()
    assert isinstance(problem.__cause__, OSError)


def test_two_that_claim_one_model_are_named_and_harm_no_other(install):
    install("one-plugin", sound("first", "Strange"))
    install("two-plugin", sound("second", "Strang*"))
    with pytest.raises(FamilyConflictError) as raised:
        anylens.attach(Strange(), torch.zeros(2, 3))
    for words in ("Strange", "'first'", "one-plugin", "'second'", "two-plugin"):
        assert words in str(raised.value)
    assert anylens.attach(MODELS["vit"]()[0]).family.name == "vision transformer"


def test_the_user_settles_a_conflict(install):
    install("one-plugin", sound("first", "Strange"))
    install("two-plugin", sound("second", "Strange"))
    assert anylens.attach(Strange(), family="second").family.name == "second"
    assert anylens.attach(Strange(), family=family_named("first")).family.name == "first"


def test_a_claim_on_a_built_in_model_is_a_conflict(install):
    install("one-plugin", sound("mine", "GPT2*"))
    with pytest.raises(FamilyConflictError, match=r"'mine'.*'text'|'text'.*'mine'"):
        anylens.attach(MODELS["gpt2"]()[0])


def test_a_name_is_given_once(install):
    install("a-plugin", sound("strange", "Strange"))
    install("b-plugin", sound("strange", "Other"))
    with pytest.warns(UserWarning, match="b-plugin"):
        assert family_for(Strange()).name == "strange"
    assert "a-plugin" in str(problems()[0])


def test_a_claim_that_raises_is_left_out(install):
    source = sound("rude", "Nobody").replace("classes=", "when=lambda model: model.no_such_thing, classes=")
    install("rude-plugin", source)
    install("sound-one", sound("strange", "Strange"))
    with pytest.warns(UserWarning, match="rude-plugin"):
        assert family_for(Strange()).name == "strange"
    assert family_for(Strange()).name == "strange"
    assert "field matches" in str(problems()[0])
    assert "no_such_thing" in str(problems()[0])


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(FamilyError, match="convolutional"):
        family_named("convolution")


def test_an_example_that_cannot_be_built_names_the_family(install):
    install("sound-one", sound("strange", "Strange").replace("torch.zeros(2, 3)", "model.config"))
    with pytest.raises(FamilyError, match=r"'strange' could not build an example for Strange.*config"):
        anylens.attach(Strange(5))


def test_an_example_that_the_model_refuses_is_not_laid_to_the_user(install):
    install("sound-one", sound("strange", "Strange").replace("torch.zeros(2, 3)", "torch.zeros(2, 4)"))
    with pytest.raises(RuntimeError) as raised:
        anylens.attach(Strange(6))
    assert any("family 'strange'" in note for note in raised.value.__notes__)
