"""The demo as a user runs it: the page stands alone, and its numbers are those that its code gives."""

import io
import json
import re
import runpy
from base64 import b64decode

import pytest
import torch
from PIL import Image

from anylens.cli import main
from tests.report.html_page import Page

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    assert main(["demo", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "index.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def numbers(folder):
    return json.loads((folder / "numbers.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def script(folder):
    """What the variables of the script beside the page are after it ran."""
    return runpy.run_path(str(folder / "demo_script.py"))


def test_the_page_loads_nothing_from_elsewhere(page, folder):
    assert page.loads
    assert all(address.startswith("data:") for address in page.loads)
    assert all(re.match(r"#|https://", link) for link in page.links)
    assert not page.tags & {"script", "iframe", "object", "embed"}
    assert not re.search(r"url\(|@import", (folder / "index.html").read_text(encoding="utf-8"))


def test_images_decode(page, folder):
    for address in page.images:
        Image.open(io.BytesIO(b64decode(address.removeprefix("data:image/png;base64,")))).load()
    files = sorted(folder.glob("*.png"))
    assert len(files) == 8
    for file in files:
        Image.open(file).load()


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


def test_a_folder_that_cannot_be_written_is_one_line(capsys, tmp_path):
    (tmp_path / "file").touch()
    assert main(["demo", "--out", str(tmp_path / "file")]) == 2
    assert main(["demo", "--out", "/proc/nowhere"]) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 2
    assert "choose another folder with --out" in shown.err


def test_missing_weights_are_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("anylens.zoo.catalogue.WEIGHTS_FOLDER", tmp_path)
    assert main(["demo", "--out", str(tmp_path / "out")]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "is missing" in shown
