"""`anylens demo`: for one modality the whole job on a model that ships with the package, as a page."""

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from anylens.anatomy.show import rows, summary
from anylens.core.errors import AnylensError
from anylens.core.optional import require
from anylens.core.suggest import nearest
from anylens.demo.engine import tell
from anylens.demo.modalities import MODALITIES
from anylens.demo.modality import Modality
from anylens.demo.numbers import as_numbers
from anylens.demo.page import render
from anylens.demo.script import script_of
from anylens.demo.story import Story
from anylens.lens import Lens

WIDTH = 100
MOST = 12  # points that are printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "modality", nargs="?", default="vision", help=f"{', '.join(MODALITIES)} (default: %(default)s)"
    )
    parser.add_argument("--list", action="store_true", help="list the modalities and stop")
    parser.add_argument(
        "--out", type=Path, default=Path("anylens-demo"), help="folder to write to (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do the whole job for a modality and write it up."""
    if arguments.list:
        for one in MODALITIES.values():
            print(f"{one.name:<14}{one.title} (zoo:{one.recipe.model})")
        return 0
    modality = modality_of(arguments.modality)
    for library, extra in (("matplotlib", "plots"), ("jinja2", "report")):
        require(library, extra=extra)  # said now, not after the work
    folder = writable(arguments.out)
    with one_thread(), quiet():
        demo(modality, folder)
    return 0


def modality_of(name: str) -> Modality:
    """Return the modality of a name; raises AnylensError with the nearest names if there is none."""
    if name not in MODALITIES:
        near = nearest(name, MODALITIES)
        meant = f"; did you mean {' or '.join(near)}?" if near else "."
        raise AnylensError(f"there is no demo {name!r}{meant} There are {', '.join(MODALITIES)}")
    return MODALITIES[name]


def demo(modality: Modality, folder: Path) -> None:
    """Do the whole job, printing what is found, and write the page."""
    print(f"anylens demo {modality.name}: {modality.title[0].lower()}{modality.title[1:]}\n", flush=True)
    story = tell(modality, say=say, tick=tick, opening=lambda lens: show_points(lens, modality))
    page = save(folder, story)
    say(
        f"Written in {story.seconds:.0f} seconds",
        f"{page}: open it in a browser, or send it; it is one file that holds all. Beside it lie "
        f"{modality.name}.py with the code, to run and to change, and {modality.name}.json with the numbers.",
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one core: for so small models more are no faster, and much slower where others use them too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the notes of transformers and diffusers, which concern none of this, off the terminal."""
    logs = [
        require(f"{name}.utils.logging", extra=name)
        for name in ("transformers", "diffusers")
        if find_spec(name) is not None
    ]
    before = [log.get_verbosity() for log in logs]
    for log in logs:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log, level in zip(logs, before, strict=True):
            log.set_verbosity(level)
            log.enable_progress_bar()


def writable(folder: Path) -> Path:
    """Make the folder, and find out before the work whether it can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".anylens"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise AnylensError(
            f"cannot write to {folder} ({error.strerror}); choose another folder with --out"
        ) from None
    return folder


def show_points(lens: Lens, modality: Modality) -> None:
    """Print what the model is, and the start of its table of points."""
    net: Any = lens.model
    text = (
        f"zoo:{modality.recipe.model} is a {type(net).__name__}, watched once: {summary(lens.anatomy)}. It has "
        f"{len(lens.points)} points, among them:"
    )
    print(textwrap.fill(text, WIDTH))
    listed = rows(lens.points.canonical.values())
    for name, axes, shape, *_ in listed[:MOST]:
        print(f"  {name:<44} {axes:<30} {shape}")
    if len(listed) > MOST:
        print(f"  ... `anylens points zoo:{modality.recipe.model}` lists them all")
    print(f"\nFeatures of {modality.recipe.point}, {modality.words.place}:\n", flush=True)


def say(title: str, text: str) -> None:
    """Print a result under its title."""
    print(f"{title}\n{textwrap.fill(text, WIDTH, initial_indent='  ', subsequent_indent='  ')}\n", flush=True)


def tick(what: str, done: int, of: int) -> None:
    """Show how far a long step is, on one line that goes away; nothing where nobody watches."""
    if sys.stderr.isatty():
        end = "\r" if done < of else "\r\033[K"
        print(f"  {what}: {done} of {of}", end=end, file=sys.stderr, flush=True)


def save(folder: Path, story: Story) -> Path:
    """Write the page, the numbers and the code, and return the page."""
    name = story.modality.name
    script = script_of(name)
    page = folder / f"{name}.html"
    files: dict[str, bytes] = dict(story.further.files) if story.further else {}
    files |= {
        page.name: render(story, script).encode(),
        f"{name}.json": (json.dumps(_plain(as_numbers(story)), indent=1) + "\n").encode(),
        f"{name}.py": script.encode(),
    }
    try:
        for file, content in files.items():
            (folder / file).write_bytes(content)
    except OSError as error:
        raise AnylensError(f"cannot write {error.filename}: {error.strerror}") from None
    return page


def _plain(value: Any) -> Any:
    """Round numbers to six digits: more says nothing, and differs between machines."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return round(value, 6) if isinstance(value, float) else value
