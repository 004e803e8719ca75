"""Imports go down the layers only, and never in a circle."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import anylens
from tests.import_graph import Import, find_cycle, read_imports

ROOT = Path(anylens.__file__).parent
FACE = "(anylens)"  # the package's own __init__.py: the public names

# From the top. A part may import the parts in lines below its own, not those beside it.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("cli", "__main__"),
    ("demo",),
    (FACE,),
    ("report",),
    ("features",),
    ("tasks",),
    ("sae_loading",),
    ("analysis", "sae", "conformance"),
    ("harvest",),
    ("loading",),
    ("attaching",),
    ("pipelines",),
    ("lens",),
    ("running", "families", "store"),
    ("anatomy",),
    ("core",),
)
# Parts outside the layers: whom they may import. Only what ALSO names may import them.
APART: Mapping[str, frozenset[str]] = {"zoo": frozenset({"core"})}
# (who, whom): imports that are allowed though the layers would forbid them.
ALSO = frozenset(
    {
        ("cli", "zoo"),
        ("demo", "zoo"),
        ("tasks", "zoo"),
        ("loading", "zoo"),
        ("sae_loading", "zoo"),
        ("__main__", "cli"),
    }
)

RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}


def part_of(module: str) -> str:
    """The part that a module belongs to: the first name below the package."""
    _, _, rest = module.partition(".")
    return rest.partition(".")[0] or FACE


def allowed(source: str, target: str) -> bool:
    if source == target or (source, target) in ALSO:
        return True
    if source in APART or target in APART:
        return target in APART.get(source, ())
    return RANK[source] < RANK[target]


def unknown_parts(parts: Iterable[str]) -> list[str]:
    return [
        f"anylens/{part} is in no layer: list it in LAYERS of tests/test_layers.py, and in CONTRIBUTING.md"
        for part in sorted(set(parts) - RANK.keys() - APART.keys())
    ]


def violations(imports: Iterable[Import]) -> list[str]:
    found = []
    for item in imports:
        source, target = part_of(item.source), part_of(item.target)
        unknown = unknown_parts([source, target])
        if unknown or not allowed(source, target):
            reason = "; ".join(unknown) or f"{source} may not import {target}"
            found.append(f"{item.file}:{item.line}: {item.source} imports {item.target}: {reason}")
    return found


def parts_on_disk(root: Path) -> set[str]:
    files = {file.stem for file in root.glob("*.py")} - {"__init__"}
    return files | {folder.name for folder in root.iterdir() if any(folder.glob("*.py"))}


def plant(root: Path, files: Mapping[str, str]) -> Path:
    package = root / "anylens"
    for name, source in files.items():
        file = package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
    return package


def test_every_part_has_a_layer():
    assert not unknown_parts(parts_on_disk(ROOT))


def test_imports_go_down():
    found = violations(read_imports(ROOT))
    assert not found, "\n".join(found)


def test_no_cycle():
    cycle = find_cycle(read_imports(ROOT))
    assert not cycle, " -> ".join(cycle)


def test_the_walk_sees_the_package():
    imports = {(item.source, item.target) for item in read_imports(ROOT)}
    assert ("anylens", "anylens.core") in imports
    assert ("anylens.core.optional", "anylens.core.errors") in imports


def test_planted_upward_imports_are_reported(tmp_path):
    package = plant(
        tmp_path,
        {
            "__init__.py": "",
            "lens.py": "from anylens.core import names\n",
            "core/__init__.py": "",
            "core/names.py": "def f():\n    from anylens.lens import Lens\n",
            "core/relative.py": "from ..running import taps\n",
            "core/by_string.py": "import importlib\nimportlib.import_module('anylens.report')\n",
            "core/face.py": "from anylens import attach\n",
            "running/__init__.py": "",
            "running/taps.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import anylens.store\n",
            "zoo/__init__.py": "",
            "families/__init__.py": "from anylens import zoo\n",
            "loading.py": "import anylens.zoo\n",
        },
    )
    found = {line.split(": ", 2)[1] for line in violations(read_imports(package))}
    assert found == {
        "anylens.core.names imports anylens.lens",
        "anylens.core.relative imports anylens.running.taps",
        "anylens.core.by_string imports anylens.report",
        "anylens.core.face imports anylens",
        "anylens.running.taps imports anylens.store",
        "anylens.families imports anylens.zoo",
    }


def test_planted_unknown_part_is_reported(tmp_path):
    package = plant(tmp_path, {"__init__.py": "from anylens import utils\n", "utils.py": ""})
    assert unknown_parts(parts_on_disk(package))
    assert "list it in LAYERS" in violations(read_imports(package))[0]


def test_planted_cycle_is_reported(tmp_path):
    package = plant(
        tmp_path,
        {
            "core/__init__.py": "",
            "core/a.py": "from . import b\n",
            "core/b.py": "def f():\n    from anylens.core.a import g\n",
        },
    )
    assert set(find_cycle(read_imports(package))) == {"anylens.core.a", "anylens.core.b"}
