"""The tutorials: the notebooks are what their scripts say, and two of the scripts run (`make tutorials` runs all)."""

import json
import re
import runpy

import pytest

from tools.tutorials import FOLDER, cells, pictures, scripts

SCRIPTS = scripts()
NAMES = [path.stem for path in SCRIPTS]
QUICK = ["bring_your_own_model", "coming_from"]
PATHS = re.compile(r"/(home|root|tmp|work|usr|Users|opt)/|site-packages|[A-Z]:\\\\")


def outputs(book):
    return [output for cell in book["cells"] for output in cell.get("outputs", [])]


@pytest.fixture(params=SCRIPTS, ids=NAMES)
def script(request):
    return request.param


@pytest.fixture
def book(script):
    return json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))


def test_the_notebook_is_not_stale(script, book):
    written = [(cell["cell_type"], cell["source"]) for cell in book["cells"]]
    assert written == [(cell.kind, cell.text) for cell in cells(script.read_text(encoding="utf-8"))]


def test_the_notebook_was_executed_from_top_to_bottom(book):
    counts = [cell["execution_count"] for cell in book["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert not [output for output in outputs(book) if output["output_type"] == "error"]


def test_outputs_are_light_and_say_nothing_of_a_machine(book):
    said = [output for output in outputs(book) if "image/png" not in output.get("data", {})]
    assert not PATHS.search(json.dumps(said, ensure_ascii=False))
    assert not [output for output in said if output.get("name") == "stderr"]
    assert max(pictures(book)) < 300 * 1024


def test_there_is_a_check_and_a_question(script):
    found = cells(script.read_text(encoding="utf-8"))
    assert re.match(r"# .+\n\n\*.+\?\*", found[0].text, re.DOTALL)
    assert any(re.search(r"^assert ", cell.text, re.MULTILINE) for cell in found if cell.kind == "code")


def test_all_are_in_the_index():
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| \[.+\]\((.+)\.ipynb\)", index, re.MULTILINE)) == NAMES


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_one_runs(name, tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    plt.switch_backend("agg")
    try:
        runpy.run_path(str(FOLDER / f"{name}.py"))
        assert plt.get_fignums()
    finally:
        plt.close("all")


def test_a_script_that_is_no_tutorial_says_why():
    with pytest.raises(ValueError, match="begins with"):
        cells("import torch\n# %%\n")
    with pytest.raises(ValueError, match="comments only"):
        cells("# %% [markdown]\nprint(1)\n")
    with pytest.raises(SystemExit, match="no tutorial nothing; there are"):
        scripts(["nothing"])
