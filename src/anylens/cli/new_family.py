"""`anylens new-family MODEL`: a family plugin drafted from a model's anatomy, with its test."""

import argparse
from importlib.util import find_spec
from pathlib import Path

from anylens.cli.models import HELP, Opened, is_function, open_model
from anylens.core.errors import FamilyError
from anylens.families.draft import Draft, files_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help=HELP)
    parser.add_argument("--name", help="name of the family (default: the model's class)")
    parser.add_argument("--out", type=Path, help="folder to write to (default: ./anylens-NAME)")


def run(arguments: argparse.Namespace) -> int:
    """Write the draft into a folder of its own, and say what to do next."""
    opened = open_model(arguments.model)
    draft = _draft(opened, arguments)
    if find_spec(draft.package) is not None:
        raise FamilyError(f"There is a package {draft.package} already. Pass --name NAME for another.")
    folder = arguments.out or Path(f"anylens-{draft.slug.replace('_', '-')}")
    if folder.exists() and any(folder.iterdir()):
        raise FamilyError(f"{folder} is not empty, and a draft overwrites nothing. Pass --out FOLDER.")
    for name, text in files_of(draft).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        print(f"wrote {file}")
    print(_next(opened, folder, draft))
    return 0


def _draft(opened: Opened, arguments: argparse.Namespace) -> Draft:
    lens = opened.lens
    return Draft(
        name=arguments.name or type(lens.model).__name__,
        model=lens.model,
        anatomy=lens.anatomy,
        example=opened.example,
        origin=arguments.model,
        from_function=is_function(arguments.model),
    )


def _next(opened: Opened, folder: Path, draft: Draft) -> str:
    lines = [
        "",
        f"Read {folder / draft.file}, and add what you know: aliases, components' names, the layout.",
        f"Check it:   python -m pytest {folder}",
        f"Use it:     pip install -e {folder}",
    ]
    known = opened.lens.family
    if known is not None:
        lines.append(
            f"Note: the family {known.name!r} claims this model already. With both installed, attach refuses to choose "
            "unless family=... says which."
        )
    return "\n".join(lines)
