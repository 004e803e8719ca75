"""Plants distributions with family plugins, as pip would have left them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from unittest.mock import patch

from anylens.core.plugins import find_plugins
from anylens.families import registry

FAMILY = """
import torch
from anylens.families import Family, Matches

def example(model):
    return {{"input": torch.zeros(2, 3)}}

family = Family(name="{name}", matches=Matches(classes=("{classes}",)), example=example)
"""


def sound(name: str, classes: str) -> str:
    """The source of a plugin without a fault."""
    return FAMILY.format(name=name, classes=classes)


def plant(folder: Path, distribution: str, source: str) -> None:
    """Write a distribution of one module, which offers its `family`."""
    module = distribution.replace("-", "_")
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[anylens.families]\n{module} = {module}:family\n")


@contextmanager
def only(keep: Callable[[EntryPoint], bool]) -> Iterator[None]:
    """Make the registry anew from some of the installed plugins, and as it was afterwards."""
    found = [entry for entry in find_plugins(registry.GROUP) if keep(entry)]
    made = registry.Registry(found)
    with patch.object(registry, "installed", lambda: made):
        yield
