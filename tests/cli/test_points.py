"""`anylens points MODEL`."""

import pytest

from anylens.cli import main


def test_the_table_of_a_model(capsys):
    assert main(["points", "anylens_duet.model:Duet"]) == 0
    shown = capsys.readouterr().out
    assert "melody.blocks.{0..2}.hook_resid_post" in shown
    assert "upper_part.embed.hook_out" in shown


def test_a_glob_narrows_it(capsys):
    assert main(["points", "anylens_duet.model:Duet", "rhythm.*.hook_mlp_out"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["rhythm.blocks.{0..2}.hook_mlp_out"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["anylens_duet.model:Duet", "melody.blocks.0.hook_resid_pots"], "melody.blocks.0.hook_resid_post"),
        (["anylens_duet.model:Solo"], "nothing callable named 'Solo'"),
        (["no_such_module:f"], "no module 'no_such_module'"),
        (["anylens_duet.model:dataclass"], "must return a torch.nn.Module"),
        (["nobody/nothing"], "not in the local cache"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, said, capsys):
    assert main(["points", *arguments]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert not shown.out


def test_a_function_may_give_the_example_too(tmp_path, monkeypatch, capsys):
    (tmp_path / "made_here.py").write_text(
        "import torch\n"
        "def alone(): return torch.nn.Linear(3, 4)\n"
        "def both(): return torch.nn.Linear(3, 4), torch.zeros(2, 3)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["points", "made_here:alone"]) == 2
    assert "No family claims Linear" in capsys.readouterr().err
    assert main(["points", "made_here:both"]) == 0
    assert "hook_out" in capsys.readouterr().out
