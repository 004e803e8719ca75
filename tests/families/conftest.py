"""A place for plugins that one test installs."""

import sys
from collections.abc import Callable, Iterator

import pytest

from anylens.families import registry
from tests.families.plant import plant


@pytest.fixture
def install(tmp_path, monkeypatch) -> Iterator[Callable[[str, str], None]]:
    """Install a plugin from its source for the length of a test: `install("my-plugin", source)`."""
    monkeypatch.syspath_prepend(tmp_path)

    def one(distribution: str, source: str) -> None:
        plant(tmp_path, distribution, source)
        monkeypatch.syspath_prepend(tmp_path)  # once more, so that what was looked up is forgotten
        registry.installed.cache_clear()

    registry.installed.cache_clear()
    yield one
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(file.stem, None)
    registry.installed.cache_clear()
