"""The autoencoders that ship: every one is what its recipe says and measures what its card says."""

import hashlib
import json

import pytest
import torch

import anylens
from anylens.cli import main
from anylens.core.errors import ZooError
from anylens.tasks.making import opened
from anylens.zoo.saes import SAES_FOLDER, sae_folder, sae_names
from tools.saes import page
from tools.saes.checking import card_of, facts
from tools.saes.measuring import measured
from tools.saes.recipes import RECIPES

pytestmark = pytest.mark.filterwarnings("ignore")
SHIPPED = [recipe for recipe in RECIPES if recipe.name in sae_names()]
LIGHT, FEW = 64, 4  # samples; runs of many steps take few


def test_every_one_has_a_recipe_and_a_card():
    assert {recipe.name for recipe in SHIPPED} == set(sae_names())
    assert all(card_of(recipe) for recipe in SHIPPED)


def test_they_are_small():
    size = sum(file.stat().st_size for file in SAES_FOLDER.rglob("*") if file.is_file())
    assert size < 4_000_000


@pytest.mark.parametrize("recipe", SHIPPED, ids=lambda recipe: recipe.name)
def test_the_files_are_those_of_the_card(recipe):
    weights = (sae_folder(recipe.name) / "sae_weights.safetensors").read_bytes()
    said = json.loads((sae_folder(recipe.name) / "cfg.json").read_text(encoding="utf-8"))
    assert hashlib.sha256(weights).hexdigest() == card_of(recipe)["sha256"]
    assert said["dtype"] == "float16"
    assert said["metadata"]["steps"] == recipe.steps


@pytest.mark.parametrize("recipe", SHIPPED, ids=lambda recipe: recipe.name)
def test_it_measures_what_its_card_says(recipe):
    lens, task = opened(recipe)
    sae = anylens.load_sae(f"zoo:{recipe.name}")
    card = card_of(recipe)
    samples = LIGHT if task.steps is None else FEW
    found = facts(recipe, sae, measured(recipe, lens, task, sae, samples=samples, seed=7), task.values)
    assert found["l0"] == pytest.approx(card["l0"], rel=0.1)
    assert found["fvu"] == pytest.approx(card["fvu"], abs=0.05)
    assert found["recovered"] == pytest.approx(card["recovered"], abs=0.15)


def test_the_page_is_made_from_the_cards():
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.part() in text


def test_unknown_names_have_the_nearest():
    with pytest.raises(ZooError, match=r"shapes-vit/blocks\.\d\.hook_resid_post"):
        anylens.load_sae("zoo:shapes-vit/blocks.9.hook_resid_post")
    with pytest.raises(ZooError, match="the nearest are shapes-vit/"):
        anylens.load_sae(f"zoo:{SHIPPED[0].name.replace('vit', 'vitt')}")


def test_the_zoo_lists_them(capsys):
    main(["zoo"])
    listed = capsys.readouterr().out
    assert all(f"zoo:{name}" in listed for name in sae_names())


def test_a_feature_found_on_other_samples_is_what_steers():
    """A feature of the class token that the card names turns pictures red, shapes left as they are."""
    recipe = next(one for one in SHIPPED if one.model == "shapes-vit")
    lens, task = opened(recipe)
    sae = anylens.load_sae(f"zoo:{recipe.name}")
    best = max(card_of(recipe)["steered"], key=lambda one: one["changed"])
    trial = task.trials(LIGHT, seed=11)[0]
    active = sae.encode(lens.run_with_cache(**trial, points=recipe.point)[1][recipe.point][:, 0])
    push = anylens.steer(sae.feature(best["feature"]), float(active.max()) * best["strength"])
    with lens.hooks({recipe.point: push.on(**recipe.at)}):
        shown = task.shown(trial)
    wanted = task.values[best["factor"]].index(best["value"])
    assert float((shown[best["factor"]] == wanted).float().mean()) > 0.8
    assert torch.equal(task.shown(trial)["colour"], inputs_truth(task, 11))


def inputs_truth(task, seed):
    samples = task.trials(LIGHT, seed=seed)
    return samples.samples.truth(0).factors["colour"]
