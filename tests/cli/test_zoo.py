import wave

import pytest
from PIL import Image

from anylens.cli import main
from anylens.cli.zoo import WORLDS
from anylens.zoo import card, entry, names
from anylens.zoo.worlds import shown


def test_every_model_is_listed_with_its_numbers(capsys):
    assert main(["zoo"]) == 0
    text = capsys.readouterr().out
    for name in names():
        assert f"zoo:{name}" in text
        assert f"{card(name)['parameters']:,} parameters" in text
        assert all(target.told(card(name)["measured"]) in text for target in entry(name).targets)
    assert main(["zoo", "list"]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("world", ["shapes", "vowels", "melodies"])
def test_pictures_and_sounds_are_drawn(world, tmp_path, capsys):
    assert main(["zoo", "show", world, "--out", str(tmp_path / world), "--count", "3"]) == 0
    sheet = tmp_path / world / "sheet.png"
    assert str(sheet) in capsys.readouterr().out
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize(("world", "rate"), [("vowels", 16000), ("melodies", 4000)])
def test_sounds_are_files_to_play(world, rate, tmp_path):
    assert main(["zoo", "show", world, "--out", str(tmp_path), "--count", "2"]) == 0
    told = (tmp_path / "labels.txt").read_text().splitlines()
    assert [line.partition("\t")[0] for line in told] == ["000.wav", "001.wav"]
    for line in told:
        with wave.open(str(tmp_path / line.partition("\t")[0])) as sound:
            assert sound.getframerate() == rate
            assert sound.getnframes() == 2 * rate


def test_sentences_are_written_with_their_factors(tmp_path, capsys):
    assert main(["zoo", "show", "grammar", "--out", str(tmp_path), "--count", "2"]) == 0
    told = (tmp_path / "sentences.txt").read_text()
    assert told.count("number ") == told.count("nats: ") == 2
    assert "sentences.txt: 2 samples of the world grammar, seed 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "oceans"], "no world called 'oceans'; it has shapes, vowels, melodies, grammar"),
        (["show", "shapes", "--out", "/proc/nowhere"], "cannot write to /proc/nowhere"),
        (["show", "shapes", "--count", "-1"], "at least 0"),
        (["show", "shapes", "--count", "0"], "at least one"),
        (["show", "vowels", "--count", "0"], "at least one"),
        (["show", "grammar", "--count", "0"], "at least one"),
    ],
)
def test_what_cannot_be_shown_is_one_line(arguments, says, capsys):
    assert main(["zoo", *arguments]) == 2
    told = capsys.readouterr()
    assert says in told.err
    assert told.err.count("\n") == 1
    assert not told.out


def test_the_command_names_every_world():
    assert tuple(shown.WORLDS) == WORLDS
