"""A model's folder takes another's place when it is whole, and not before."""

import pytest

from anylens.core.errors import ZooError
from anylens.zoo import files


def test_a_folder_is_replaced_when_all_of_the_new_one_is_written(tmp_path):
    folder = tmp_path / "model"
    for text in ("first", "second"):
        with files.in_place_of(folder) as draft:
            (draft / text).write_text(text)
        assert [one.name for one in folder.iterdir()] == [text]
    assert [one.name for one in tmp_path.iterdir()] == ["model"]


def test_what_was_there_stays_where_the_writing_is_broken_off(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "card.json").write_text("{}")

    def break_off():
        with files.in_place_of(folder) as draft:
            (draft / "half").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert [one.name for one in folder.iterdir()] == ["card.json"]
    assert [one.name for one in tmp_path.iterdir()] == ["model"]


def test_a_folder_of_something_else_is_not_taken(tmp_path):
    (tmp_path / "thesis.tex").write_text("three years")
    with pytest.raises(ZooError, match="choose another folder"):
        files.room(tmp_path)
    assert files.room(tmp_path / "new") == tmp_path / "new"
