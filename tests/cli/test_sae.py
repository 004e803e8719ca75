"""`anylens harvest` and `anylens sae`, as a user types them."""

import json

import pytest
import torch

from anylens.cli import main
from anylens.sae import load

pytestmark = pytest.mark.filterwarnings("ignore")
POINT = "blocks.3.hook_resid_post"


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows") / "rows"
    words = ["harvest", "zoo:shapes-vit", "--points", POINT, "--to", str(folder)]
    assert main([*words, "--samples", "96", "--positions", "patches"]) == 0
    return folder


def test_from_a_model_to_features(rows, tmp_path, capsys):
    sae = str(tmp_path / "sae")
    told = ["--latents", "128", "--k", "6", "--steps", "30", "--batch", "512"]
    assert main(["sae", "train", str(rows), "--to", sae, *told]) == 0
    assert main(["sae", "eval", sae, str(rows), "--compare", sae]) == 0
    assert main(["sae", "features", sae, str(rows), "--top", "3", "--examples", "2"]) == 0
    said = capsys.readouterr().out
    assert "L0 6.0" in said
    assert "6,144 rows" in said
    assert "1.000, 100% of directions over 0.9" in said
    lines = [line for line in said.splitlines() if line.startswith("feature")]
    assert len(lines) == 3
    assert all("in sample" in line for line in lines)
    config = json.loads((tmp_path / "sae" / "cfg.json").read_text())
    assert config["metadata"]["point"] == POINT
    assert config["metadata"]["rows"] == 6144


@pytest.mark.parametrize("parallel", ["data", pytest.param("dictionary", marks=pytest.mark.wide)])
def test_two_ranks_do_what_one_does(rows, tmp_path, capfd, parallel):
    told = ["--latents", "64", "--k", "4", "--steps", "20", "--batch", "512"]
    last = []
    for name, more in (("one", []), ("two", ["--ranks", "2", "--parallel", parallel])):
        assert main(["sae", "train", str(rows), "--to", str(tmp_path / name), *told, *more]) == 0
        assert capfd.readouterr().out.count("64 latents on") == 1  # one rank speaks
        last.append(json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[-1]))
    assert last[0]["step"] == 20
    assert last[1] == pytest.approx(last[0], rel=1e-3)  # float32, sums in another order
    one, two = (load(tmp_path / name) for name in ("one", "two"))
    torch.testing.assert_close(two.decoder, one.decoder, atol=2e-3, rtol=0)


def test_what_is_wrong_is_said_in_a_line(rows, tmp_path, capsys):
    there = str(rows)
    for words, said in (
        (["sae", "train", there, "--to", str(tmp_path), "--variant", "standard"], "--sparsity"),
        (["sae", "train", there, "--to", str(tmp_path), "--point", "blocks.9"], "holds no rows of"),
        (["sae", "train", there, "--to", str(tmp_path), "--latents", "0"], "was given 80 and 0"),
        (["sae", "train", there, "--to", str(tmp_path), "--steps", "-3"], "steps is -3"),
        (["sae", "eval", str(tmp_path / "none"), there], "holds no autoencoder"),
        (["harvest", "zoo:shapes-vit", "--points", "blocks.3.hook_resid_pots", "--to", "x"], POINT),
        (["harvest", "zoo:shapes-vit", "--points", POINT, "--to", there, "--positions", "1-2"], "no choice"),
        (["harvest", "zoo:shapes-flow", "--points", "*", "--to", str(tmp_path / "f")], "takes no samples"),
    ):
        assert main(words) == 2, words
        assert said in capsys.readouterr().err


def test_a_log_that_is_not_installed_names_the_extra(rows, tmp_path, capsys):
    words = ["sae", "train", str(rows), "--to", str(tmp_path / "t"), "--steps", "2", "--tensorboard"]
    try:
        import tensorboard  # noqa: F401
    except ModuleNotFoundError:
        assert main(words) == 2
        assert "anylens[tensorboard]" in capsys.readouterr().err
    else:
        assert main(words) == 0
        assert list((tmp_path / "t").glob("events*"))
