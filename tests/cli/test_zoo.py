import pytest
from PIL import Image

from anylens.cli import main
from anylens.zoo import card, entry, names


def test_every_model_is_listed_with_its_numbers(capsys):
    assert main(["zoo"]) == 0
    text = capsys.readouterr().out
    for name in names():
        assert f"zoo:{name}" in text
        assert f"{card(name)['parameters']:,} parameters" in text
        assert all(target.told(card(name)["measured"]) in text for target in entry(name).targets)
    assert main(["zoo", "list"]) == 0
    assert capsys.readouterr().out == text


def test_a_world_is_drawn(tmp_path, capsys):
    out = tmp_path / "sheet.png"
    assert main(["zoo", "show", "shapes", "--out", str(out), "--count", "9"]) == 0
    assert str(out) in capsys.readouterr().out
    with Image.open(out) as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > sheet.height  # eight in a row, then one


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "oceans"], "no world called 'oceans'; it has shapes"),
        (["show", "shapes", "--out", "/proc/nowhere/sheet.png"], "cannot write /proc/nowhere/sheet.png"),
        (["show", "shapes", "--count", "-1"], "at least 0"),
        (["show", "shapes", "--count", "0"], "at least one"),
    ],
)
def test_what_cannot_be_shown_is_one_line(arguments, says, capsys):
    assert main(["zoo", *arguments]) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert shown.err.count("\n") == 1
    assert not shown.out
