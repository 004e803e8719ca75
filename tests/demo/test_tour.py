"""The further sections of the vision demo: their numbers are those that their code gives, and what they claim is so."""

import runpy
from importlib.resources import files

import pytest
import torch

import anylens
from anylens.demo.tour import sections
from tests.report.html_page import Page

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def further():
    return sections(anylens.load("zoo:shapes-vit"), say=lambda *_: None, tick=lambda *_: None)


@pytest.fixture(scope="module")
def page(further):
    return Page(further.html)


@pytest.fixture(scope="module")
def numbers(further):
    return further.numbers["tour"]


@pytest.fixture(scope="module")
def script():
    """What the variables of the script are after it ran."""
    return runpy.run_path(str(files("anylens.demo") / "scripts" / "vision_tour.py"))


def test_every_title_leads_to_a_section(further):
    assert all(f'<section id="{anchor}">' in further.html for anchor, _ in further.titles)


def test_the_page_has_the_numbers_of_the_file(page, numbers):
    def close(rows, expected):
        torch.testing.assert_close(torch.tensor(rows), torch.tensor(expected), atol=1e-5, rtol=0)

    close([row[:-1] for row in page.numbers("attention")], numbers["attention"]["on_object"])
    groups = list(zip(*numbers["patching"]["groups"].values(), strict=True))
    close(page.numbers("patching"), groups)
    steered = numbers["steering"]["by_layer"]["own"]
    rates = [[one["target"], one["shape"]] for one in steered]
    close([row[:2] for row in page.numbers("steering")], rates)
    accuracy = [row for layer in numbers["ablation"]["accuracy_without"] for row in layer]
    close([row[2:] for row in page.numbers("ablation")], accuracy)


def test_the_code_on_the_page_gives_its_numbers(script, numbers):
    last = numbers["attention"]["on_object"][-1]
    torch.testing.assert_close(script["on_object"].mean(0), torch.tensor(last), atol=1e-5, rtol=0)

    recovered = torch.tensor(numbers["patching"]["recovered"])
    torch.testing.assert_close(script["grid"].recovered[0], recovered[:-1], atol=1e-4, rtol=1e-3)

    labels = script["lens"].model.config.id2label
    assert {labels[n] for n in script["output"].logits.argmax(-1).tolist()} == {"blue star"}
    assert script["point"] == "blocks.0.attn.hook_z"

    colours = [labels[n].split()[0] for n in script["without"].logits.argmax(-1).tolist()]
    right = [scene.colour == colour for scene, colour in zip(script["test"].scenes, colours, strict=True)]
    cell = numbers["ablation"]["accuracy_without"][0][script["head"]]
    assert sum(right) / len(right) == pytest.approx(cell[0], abs=1e-5)


def test_what_it_claims_is_so(numbers):
    """The story of the page; if the weights change so that it no longer holds, its words must change."""
    assert numbers["accuracy"] >= 0.95
    assert max(max(layer) for layer in numbers["attention"]["on_object"]) > 2 * numbers["attention"]["chance"]
    groups = numbers["patching"]["groups"]
    assert groups["object patches"][0] > 0.99
    assert groups["class token"][-1] > 0.99
    layer = numbers["steering"]["layer"]
    own, shared, random = (
        numbers["steering"]["by_layer"][kind][layer] for kind in ("own", "shared", "random")
    )
    assert own["target"] > 0.9
    assert own["shape"] > 0.9
    assert shared["target"] < 0.3
    assert random["target"] < 0.1
