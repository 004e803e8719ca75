"""`anylens report` on a zoo model with one's own few pictures."""

import pytest
from PIL import Image

from anylens.cli import main
from anylens.sae import make, save


def test_own_pictures_become_a_page(tmp_path, capsys):
    save(make("topk", 80, 24, k=2), tmp_path / "sae", metadata={"point": "blocks.0.hook_resid_post"})
    (tmp_path / "mine").mkdir()
    for number, colour in enumerate(("red", "blue", "green")):
        Image.new("RGB", (50, 40), colour).save(tmp_path / "mine" / f"{colour} {number}.png")
    page = tmp_path / "page.html"
    given = [
        "report",
        "zoo:shapes-vit",
        "--sae",
        str(tmp_path / "sae"),
        "--data",
        str(tmp_path / "mine"),
        "--one-file",
    ]
    assert main([*given, "--effects", "1", "--out", str(page)]) == 0
    assert f"open {page}" in capsys.readouterr().out
    assert "red 0.png" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("data", "said"), [("nowhere", "is no folder"), ("empty", "holds no files that"), (None, "--point")]
)
def test_a_wrong_argument_is_one_line(data, said, tmp_path, capsys):
    metadata = {"point": "blocks.0.hook_resid_post"} if data else {}
    save(make("topk", 80, 24, k=2), tmp_path / "sae", metadata=metadata)
    (tmp_path / "empty").mkdir()
    more = ["--data", str(tmp_path / data)] if data else []
    assert (
        main(
            ["report", "zoo:shapes-vit", "--sae", str(tmp_path / "sae"), "--out", str(tmp_path / "o"), *more]
        )
        == 2
    )
    assert said in capsys.readouterr().err
