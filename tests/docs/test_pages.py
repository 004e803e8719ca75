"""The pages of the docs are true: their code runs as it stands, block after block, and their links lead somewhere."""

import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGES = [
    DOCS / "index.md",
    DOCS / "concepts.md",
    DOCS / "limits.md",
    DOCS / "benchmarks.md",
    DOCS / "analysis.md",
    DOCS / "steps.md",
    DOCS / "saes.md",
    DOCS / "worlds.md",
    DOCS / "zoo.md",
    *sorted(DOCS.glob("families/*.md")),
]
IDS = [page.stem for page in PAGES]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_block_of_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    given: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks or page.stem in ("README", "limits", "benchmarks")
    for number, block in enumerate(blocks):
        exec(compile(block, f"{page.name}, block {number}", "exec"), given)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


def test_every_page_is_in_the_list():
    listed = (DOCS / "families/README.md").read_text(encoding="utf-8")
    pages = [page for page in PAGES if page.parent.name == "families" and page.stem != "README"]
    assert not [page.name for page in pages if f"({page.name})" not in listed]
