"""The examples in the docstrings run and give what they say."""

import doctest
from pathlib import Path

import pytest
import torch

import anylens
from anylens.core.optional import require

ROOT = Path(anylens.__file__).parent
FILES = [ROOT / "harvest" / "collect.py", *sorted((ROOT / "analysis").rglob("*.py"))]
MODULES = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in FILES]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("module", [name for name in MODULES if not name.endswith("__init__")])
def test_examples_give_what_they_say(module):
    found = require(f"anylens.{module}", extra="all")
    result = doctest.testmod(
        found, extraglobs={"torch": torch, "anylens": anylens}, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert not result.failed
