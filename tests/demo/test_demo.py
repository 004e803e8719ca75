"""The demo as a user runs it: the page stands alone, its numbers are those of the file, and errors are one line."""

import json
import re

import pytest

from anylens.cli import main
from anylens.demo.modalities import MODALITIES
from tests.report.html_page import Page


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "vision.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


@pytest.fixture(scope="module")
def numbers(folder):
    return json.loads((folder / "vision.json").read_text(encoding="utf-8"))


def test_the_page_loads_nothing_from_elsewhere(page, text):
    assert page.loads
    assert all(address.startswith("data:") for address in page.loads)
    assert all(re.match(r"#", link) for link in page.links)
    assert not page.tags & {"iframe", "object", "embed"}
    assert not re.search(r"url\(|@import|<script src", text)


def test_nothing_is_escaped_twice(text):
    assert "&lt;div" not in text
    assert "&amp;lt;" not in text


def test_the_page_says_what_the_file_says(text, numbers):
    for one in numbers["found"]:
        assert f"<td>{one['feature']}</td>" in text
        assert f"{one['auroc']:.2f}" in text
        assert f'<td class="control">{one["control"]:.2f}</td>' in text
    assert len(numbers["steered"]) == 8
    for one in numbers["steered"]:
        assert f"{one['factor']}: {one['value']}" in text
    assert f"with feature {numbers['shown']['feature']}: orange" in text


def test_a_value_is_scored_beside_its_control(numbers):
    assert all(0 <= one["auroc"] <= 1 and 0 <= one["control"] <= 1 for one in numbers["found"])
    assert {one["factor"] for one in numbers["found"]} <= {"colour", "shape"}


def test_what_is_shown_was_another_value_before(text):
    before = re.findall(r'<td><ol class="answers"><li>.*?<span>(.*?)</span>', text)
    assert before
    assert not [answer for answer in before[::2] if answer.startswith("orange")]


def test_the_code_lies_beside_the_page(folder, page):
    code = (folder / "vision.py").read_text(encoding="utf-8")
    assert code.partition("# %% features")[2].partition("\n")[2].strip() in "".join(page.text)


def test_the_list_names_them_all(capsys):
    assert main(["demo", "--list"]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()] == list(MODALITIES)


@pytest.mark.parametrize(("wrong", "right"), [("speach", "speech"), ("state", "state-space")])
def test_a_wrong_name_has_the_nearest(capsys, wrong, right):
    assert main(["demo", wrong]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert f"did you mean {right}?" in shown
    assert main(["demo", "qqq"]) == 2
    assert "vision, speech" in capsys.readouterr().err


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
