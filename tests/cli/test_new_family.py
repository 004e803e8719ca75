"""`anylens new-family MODEL`: the draft holds, unedited, for the model it was drafted from."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import anylens
from anylens.cli import main

ROOT = Path(anylens.__file__).parents[2]

TOYS = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 20), nn.Linear(20, 8)

    def forward(self, h):
        return h + self.down(torch.relu(self.up(self.norm(h))))

class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 8)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.read = nn.Linear(8, 5)

    def forward(self, ids, mask=None):
        h = self.embed(ids)
        for block in self.blocks:
            h = block(h)
        return self.read(h)

def tower():
    return Tower(), {"ids": torch.randint(30, (2, 7)), "mask": None}

def odd():
    return Tower(), {"ids": torch.randint(30, (2, 7)), "mask": Block()}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a module of models in it, to work in."""
    (tmp_path / "toys.py").write_text(TOYS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "toys", raising=False)
    return tmp_path


def run_tests(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path}
    )


def test_a_draft_passes_unedited(here):
    assert main(["new-family", "toys:tower"]) == 0
    done = run_tests(here / "anylens-tower")
    assert "3 passed" in done.stdout, done.stdout


@pytest.mark.wide
@pytest.mark.parametrize("name", ["t5", "vit", "resnet"])
def test_drafts_of_models_of_transformers_pass_unedited(here, name):
    assert main(["new-family", f"tests.models:{name}", "--name", f"my {name}"]) == 0
    done = run_tests(here / f"anylens-my-{name}")
    assert "3 passed" in done.stdout, done.stdout


def test_a_draft_says_what_was_seen(here):
    main(["new-family", "toys:tower", "--out", "draft"])
    family = (here / "draft/src/anylens_tower/family.py").read_text()
    assert 'Matches(classes=("toys.Tower",))' in family
    assert 'layout=Tokens((("", "ids"),))' in family
    assert '"mask": None' in family
    assert 'STREAMS = [("", 3)]' in (here / "draft/tests/test_tower.py").read_text()


def test_a_draft_is_a_plugin(here, monkeypatch):
    from anylens.families import registry
    from tests.families.plant import plant

    main(["new-family", "toys:tower"])
    source = (here / "anylens-tower/src/anylens_tower/family.py").read_text()
    plant(here, "toy-plugin", source)
    monkeypatch.syspath_prepend(here)
    made = registry.Registry(registry.find_plugins(registry.GROUP))
    import toys

    assert not made.problems()
    assert made.family_for(toys.Tower()).name == "Tower"


def test_a_component_of_several_is_named(here):
    main(["new-family", "anylens_duet.model:Duet", "--name", "Two Voices"])
    family = (here / "anylens-two-voices/src/anylens_two_voices/family.py").read_text()
    assert '{"upper_part.layers": "melody", "lower_part.layers": "rhythm"}' in family


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["toys:tower", "--out", "."], "is not empty"),
        (["anylens_duet.model:Duet"], "There is a package anylens_duet already"),
        (["toys:odd"], "holds a Block"),
    ],
)
def test_what_cannot_be_drafted(here, arguments, said, capsys):
    assert main(["new-family", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (here / "anylens-tower").exists()


def test_a_claim_that_would_clash_is_told(here, capsys):
    main(["new-family", "tests.models:gpt2", "--name", "mine"])
    assert "'text' claims this model already" in capsys.readouterr().out
