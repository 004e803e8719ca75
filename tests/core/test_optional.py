import json
import sys

import pytest

from anylens.core.errors import MissingExtraError
from anylens.core.optional import require


def test_returns_the_module():
    assert require("json", extra="report") is json
    assert require("os.path", extra="report") is sys.modules["os.path"]


@pytest.mark.parametrize("module", ["no_such_library", "no_such_library.part"])
def test_absence_names_the_extra(module):
    with pytest.raises(
        MissingExtraError, match=r'no_such_library.*pip install "anylens\[report\]"'
    ) as caught:
        require(module, extra="report")
    assert caught.value.extra == "report"
    assert isinstance(caught.value, ImportError)


def test_a_broken_library_is_not_taken_for_an_absent_one(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency") as caught:
        require("broken_library", extra="report")
    assert not isinstance(caught.value, MissingExtraError)
