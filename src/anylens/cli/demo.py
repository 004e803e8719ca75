"""`anylens demo`: a tour over a vision model that ships with the package, as a page of pictures."""

import argparse
import json
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from anylens.anatomy.show import rows, summary
from anylens.cli.tour_material import SCRIPT, material_of
from anylens.core.errors import AnylensError
from anylens.core.optional import require
from anylens.lens import Lens
from anylens.loading import load
from anylens.report.tour.findings import Findings, as_numbers, study
from anylens.report.tour.material import Material
from anylens.report.tour.page import Images, draw, write
from anylens.zoo import card

NAME = "zoo:shapes-vit"
PAGE, NUMBERS = "index.html", "numbers.json"
WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--out", type=Path, default=Path("anylens-demo"), help="folder to write to (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do the tour and write it up."""
    for library, extra in (("matplotlib", "plots"), ("jinja2", "report")):
        require(library, extra=extra)  # said now, not after the work
    folder = writable(arguments.out)
    with one_thread():
        tour(folder)
    return 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one core: for so small a model more are no faster, and much slower where others use them too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def tour(folder: Path) -> None:
    """Load the model, do the experiments, and write the page."""
    started = time.monotonic()
    print(f"anylens demo: inside {NAME}, a small vision transformer\n", flush=True)
    lens = load(NAME)
    material = material_of(lens.model, name=NAME, measured=card(NAME.removeprefix("zoo:"))["measured"])
    show_points(lens, material)
    found = study(lens, material, say=say, tick=tick)
    images = draw(found, material, tick=tick)
    save(folder, write(lens, found, material, images), found, images)
    say(
        f"Written in {time.monotonic() - started:.0f} seconds",
        f"{folder / PAGE}: open it in a browser. Beside it are the pictures as PNG, {NUMBERS}, and {SCRIPT.name} "
        "with the code, to run and to change.",
    )


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


def show_points(lens: Lens, material: Material) -> None:
    """Print what the model is, and the start of its table of points."""
    facts = material.facts
    text = (
        f"A {facts['class']} with {facts['parameters']:,} parameters, watched once: {summary(lens.anatomy)}. "
        f"It has {len(lens.points)} points. Those with standard names:"
    )
    print(textwrap.fill(text, WIDTH))
    for name, axes, shape, *_ in rows(lens.points.canonical.values()):
        print(f"  {name:<36} {axes:<30} {shape}")
    print(flush=True)


def say(title: str, text: str) -> None:
    """Print a result under its title."""
    print(f"{title}\n{textwrap.fill(text, WIDTH, initial_indent='  ', subsequent_indent='  ')}\n", flush=True)


def tick(what: str, done: int, of: int) -> None:
    """Show how far a long step is, on one line that goes away; nothing where nobody watches."""
    if sys.stderr.isatty():
        end = "\r" if done < of else "\r\033[K"
        print(f"  {what}: {done} of {of}", end=end, file=sys.stderr, flush=True)


def save(folder: Path, page: str, found: Findings, images: Images) -> None:
    """Write the page, the pictures on white, the numbers and the code."""
    files: dict[str, bytes] = {f"{name}.png": by_theme["light"] for name, by_theme in images.items()}
    files[PAGE] = page.encode()
    files[NUMBERS] = (json.dumps(_plain(as_numbers(found)), indent=1) + "\n").encode()
    try:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        shutil.copyfile(SCRIPT, folder / SCRIPT.name)
    except OSError as error:
        raise AnylensError(f"cannot write {error.filename}: {error.strerror}") from None


def _plain(value: Any) -> Any:
    """Round numbers to six digits: more says nothing, and differs between machines."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return round(value, 6) if isinstance(value, float) else value
