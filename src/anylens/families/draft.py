"""Drafts a family plugin from a model: a small package with the family, and a test that it keeps the contract.

All that the draft says was seen in the model, so it holds without an edit; an author adds what cannot be seen.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from typing import Any

from torch import nn

from anylens.anatomy.anatomy import Anatomy
from anylens.anatomy.rename import holder, rename
from anylens.core.tree import leaves
from anylens.families.source import as_source

PYPROJECT = Template("""[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "$distribution"
version = "0.1.0"
description = "The $name family for anylens."
requires-python = ">=3.11"
dependencies = ["anylens"]

[project.entry-points."anylens.families"]
$slug = "$package.family:family"

[tool.hatch.build]
dev-mode-dirs = ["src"]

[tool.hatch.build.targets.wheel]
packages = ["src/$package"]

[tool.pytest.ini_options]
pythonpath = ["src"]
""")

FAMILY = Template('''"""The $name family: what watching such a model cannot show.

Drafted by `anylens new-family $origin`.
"""

from typing import Any

import torch
from torch import nn

from anylens.families import $imports


def example(model: nn.Module) -> Any:
    """Build an example input. Where sizes vary from model to model, read them off `model.config`."""
    numbers = torch.Generator().manual_seed(0)  # noqa: F841
    return $example


family = Family(
    name=$quoted,
    matches=$matches,
    example=example,
    # path of a component -> its name, where there are several streams
    prefixes=$prefixes,
    # further names -> names of points: {"layers.{i}": "blocks.{i}.hook_resid_post"}
    aliases={},
    # where in the input a position lies: Tokens, Patches or Cells
    layout=$layout,
    # the Auto class of transformers that makes tensors of raw input
    preprocess=$preprocess,
)
''')

TEST = Template('''"""The $name family claims its model, and a lens on it keeps anylens's contract."""

import pytest
$import_origin
import anylens
from anylens.conformance import check
from $package.family import family

STREAMS = $streams  # component, number of blocks


@pytest.fixture(scope="module")
def lens() -> anylens.Lens:
$make


def test_the_family_claims_its_model(lens: anylens.Lens) -> None:
    assert family.matches.claims(lens.model)


def test_the_streams_are_those_of_the_model(lens: anylens.Lens) -> None:
    assert [(stream.prefix, len(stream.blocks)) for stream in lens.anatomy.streams] == STREAMS


def test_the_lens_keeps_the_contract(lens: anylens.Lens) -> None:
    report = check(lens)
    assert report.ok, report.table()
''')


@dataclass(frozen=True)
class Draft:
    """What a draft is made from.

    `origin` is the name that the model was opened by; `from_function` says that it is `module:function`.
    """

    name: str
    model: nn.Module
    anatomy: Anatomy
    example: Any
    origin: str
    from_function: bool = False

    @property
    def slug(self) -> str:
        """The name in small letters, fit for a module."""
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.name)
        return re.sub(r"\W+|_+", "_", words).strip("_").lower() or "model"

    @property
    def package(self) -> str:
        """The name of the package."""
        return f"anylens_{self.slug}"

    @property
    def file(self) -> str:
        """Where in the draft's folder the family is."""
        return f"src/{self.package}/family.py"


def files_of(draft: Draft) -> dict[str, str]:
    """Return the files of the plugin: path -> text.

    Raises FamilyError if the example holds something that cannot be written down.
    """
    words = {
        "name": draft.name,
        "quoted": as_source(draft.name),
        "slug": draft.slug,
        "package": draft.package,
        "distribution": draft.package.replace("_", "-"),
        "origin": draft.origin,
    }
    layout = _layout(draft)
    imports = sorted({"Family", "Matches", *re.findall(r"Tokens|Cells", layout)})
    family = FAMILY.substitute(
        words,
        imports=", ".join(imports),
        example=as_source(draft.example, indent=4),
        matches=_matches(draft),
        prefixes=as_source(_prefixes(draft.anatomy)),
        layout=layout,
        preprocess=as_source(_preprocess(draft)),
    )
    test = TEST.substitute(words, **_opening(draft), streams=as_source(_streams(draft.anatomy)))
    return {
        "pyproject.toml": PYPROJECT.substitute(words),
        f"src/{draft.package}/__init__.py": f'"""The {draft.name} family for anylens."""\n',
        draft.file: family,
        f"tests/test_{draft.slug}.py": test,
    }


def _streams(anatomy: Anatomy) -> list[tuple[str, int]]:
    return [(stream.prefix, len(stream.blocks)) for stream in anatomy.streams]


def _model_type(draft: Draft) -> str:
    kind = getattr(getattr(draft.model, "config", None), "model_type", "")
    return kind if isinstance(kind, str) else ""


def _matches(draft: Draft) -> str:
    """Claim the model by its config's type, or by its class where it has none."""
    kind = _model_type(draft)
    own = type(draft.model)
    if not kind:
        return f"Matches(classes=({as_source(f'{own.__module__}.{own.__qualname__}')},))"
    takes = tuple(draft.example) if isinstance(draft.example, Mapping) else ()
    return f"Matches(model_types=({as_source(kind)},), takes={as_source(takes)})"


def _prefixes(anatomy: Anatomy) -> dict[str, str]:
    """Name components as behaviour does, for the author to change; nothing where paths do not tell streams apart."""
    named = {holder(stream): stream.prefix for stream in anatomy.streams if "stages" not in stream.prefix}
    whole = len(named) == len(anatomy.streams) > 1
    return named if whole and rename(anatomy, named) == anatomy else {}


def _layout(draft: Draft) -> str:
    """Say where positions lie, as far as the shapes show it."""
    axes = {axis for stream in draft.anatomy.streams for axis in stream.axes}
    if {"height", "width"} <= axes:
        return "Cells()"
    tokens = [name for name, value in _arguments(draft) if value.ndim == 2 and not value.is_floating_point()]
    if "pos" in axes and len(tokens) == 1:
        return f"Tokens({as_source((('', tokens[0]),))})"
    return "None"


def _arguments(draft: Draft) -> list[tuple[str, Any]]:
    example = draft.example if isinstance(draft.example, Mapping) else {}
    return [(str(key[0]), value) for key, value in leaves(dict(example)) if len(key) == 1]


def _preprocess(draft: Draft) -> str:
    if not _model_type(draft):
        return ""
    names = {name for name, _ in _arguments(draft)}
    return (
        "AutoTokenizer" if "input_ids" in names else "AutoImageProcessor" if "pixel_values" in names else ""
    )


def _opening(draft: Draft) -> dict[str, str]:
    """Write how the test gets its model."""
    if not draft.from_function:
        return {
            "import_origin": "",
            "make": f"    return anylens.load({as_source(draft.origin)}, family=family)",
        }
    module, _, function = draft.origin.partition(":")
    lines = [
        f"    made = {function}()",
        "    model = (made[0] if isinstance(made, tuple) else made).eval()",
        "    return anylens.attach(model, family.example_of(model), family=family)",
    ]
    return {"import_origin": f"from {module} import {function}\n", "make": "\n".join(lines)}
