"""What is built to be installed holds every file of the zoo's models."""

from pathlib import Path

import pytest

from anylens.zoo import entry, names

ROOT = Path(__file__).parent.parent.parent


def test_the_wheel_holds_the_weights():
    builders = pytest.importorskip("hatchling.builders.wheel")
    built = {Path(one.path).resolve() for one in builders.WheelBuilder(str(ROOT)).recurse_included_files()}
    needed = {path.resolve() for name in names() for path in entry(name).folder.rglob("*") if path.is_file()}
    assert needed
    assert not needed - built


def test_the_wheel_holds_what_pages_are_made_of():
    builders = pytest.importorskip("hatchling.builders.wheel")
    built = {Path(one.path).name for one in builders.WheelBuilder(str(ROOT)).recurse_included_files()}
    assert {
        "fragments.css",
        "page.css",
        "page.html",
        "page.js",
        "chunks.js",
        "samples.js",
        "sounds.js",
    } <= built
