"""Reads who imports whom from the source of a package, without running it.

Every import counts: at the top, inside a function, under TYPE_CHECKING, or by `import_module("...")`.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

BY_STRING = {"import_module", "__import__", "require"}


@dataclass(frozen=True)
class Import:
    """One import statement: `source` imports `target`, both full module names inside the package."""

    source: str
    target: str
    file: Path
    line: int


def read_imports(root: Path) -> list[Import]:
    """All imports between modules of the package whose folder is `root`."""
    modules = {_module_name(file, root): file for file in sorted(root.rglob("*.py"))}
    found = []
    for source, file in modules.items():
        for target, line in _targets(file, source, modules):
            if target.partition(".")[0] == root.name:
                found.append(Import(source, target, file, line))
    return found


def find_cycle(imports: list[Import]) -> list[str]:
    """The modules of one import cycle, first and last the same, or an empty list."""
    graph: dict[str, set[str]] = {}
    for item in imports:
        graph.setdefault(item.source, set()).add(item.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _module_name(file: Path, root: Path) -> str:
    parts = [root.name, *file.relative_to(root).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _targets(file: Path, source: str, modules: Mapping[str, Path]) -> Iterator[tuple[str, int]]:
    package = source if file.name == "__init__.py" else source.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                yield (submodule if submodule in modules else base), node.lineno
        elif isinstance(node, ast.Call) and (name := _imported_by_string(node)):
            yield name, node.lineno


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")
    base = parents[: len(parents) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def _imported_by_string(node: ast.Call) -> str | None:
    function = node.func
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
    if called not in BY_STRING or not node.args:
        return None
    first = node.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
