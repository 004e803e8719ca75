"""Every modality: its data fits its model, its script is code that names what there is, and, wide, all of it runs."""

import ast
import importlib
import re
import runpy

import pytest

from anylens.cli import main
from anylens.demo.modalities import MODALITIES
from anylens.demo.script import script_of, sections
from anylens.tasks import TASKS
from anylens.zoo import names

EACH = pytest.mark.parametrize("name", MODALITIES)


@EACH
def test_its_data_is_known(name):
    modality = MODALITIES[name]
    task = TASKS[modality.recipe.task]
    factor, value = modality.towards
    assert modality.recipe.model in names()
    assert factor in modality.recipe.steered
    assert value in task.values[factor]
    assert set(modality.recipe.factors) <= set(task.values)
    assert set(modality.recipe.steered) <= set(modality.recipe.factors)


@EACH
def test_its_script_compiles_and_its_names_exist(name):
    script = script_of(name)
    compile(script, name, "exec")
    for node in ast.walk(ast.parse(script)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, one.name) for one in node.names), node.module
    calls = {
        node.func.attr
        for node in ast.walk(ast.parse(script))
        if isinstance(node, ast.Call) and _of_anylens(node)
    }
    assert all(hasattr(importlib.import_module("anylens"), call) for call in calls)


def _of_anylens(node):
    return isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "anylens"


@EACH
def test_its_script_does_what_the_recipe_says(name):
    recipe, script = MODALITIES[name].recipe, sections(script_of(name))["features"]
    assert f'"zoo:{recipe.model}"' in script
    assert f'"{recipe.point}"' in script
    assert f"steps={recipe.steps}, lr=" in script
    assert float(re.search(r"lr=([\de.-]+)", script)[1]) == recipe.lr
    assert f"{recipe.batch}, epochs=None" in script
    settings = ", ".join(f"{name}={value}" for name, value in recipe.settings.items())
    assert re.search(rf'make\("{recipe.variant}", .+, {recipe.width}, {re.escape(settings)}\)', script)
    assert f'Samples("{recipe.model}", {recipe.samples}, seed=1)' in re.sub(r"\s+", " ", script)
    assert recipe.seed == 0


@pytest.mark.wide
@pytest.mark.filterwarnings("ignore")
@EACH
def test_all_of_it_runs(name, tmp_path, monkeypatch, capsys):
    assert main(["demo", name, "--out", str(tmp_path)]) == 0
    monkeypatch.chdir(tmp_path)
    runpy.run_path(f"{name}.py")
    assert capsys.readouterr().out
