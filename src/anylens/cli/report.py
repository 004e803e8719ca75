"""`anylens report MODEL`: the features of an autoencoder as a page that opens without a server."""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from anylens.cli.harvest import index
from anylens.cli.models import HELP, called, is_function, open_model
from anylens.core.errors import LoadError, StoreError
from anylens.core.optional import require
from anylens.features import Folder, Wanted, survey
from anylens.harvest.positions import NAMED
from anylens.lens import Lens
from anylens.pipelines import is_pipeline
from anylens.report.features import features_page
from anylens.sae.files import CONFIG
from anylens.sae_loading import load_sae

STEPS = 10  # of denoising, where nothing else is said


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    usual = Wanted()
    parser.add_argument("model", metavar="MODEL", help=HELP)
    parser.add_argument("--sae", required=True, metavar="SAE", help="a folder, zoo:MODEL/POINT, or a hub id")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="for the page; with --one-file, it may be FILE.html",
    )
    parser.add_argument("--one-file", action="store_true", help="write one file that holds everything")
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        help="of your own pictures, sounds (WAV) or texts (a text in each line); or MODULE:FUNCTION, which returns "
        "inputs, each a batch; a model of the zoo takes held-out samples of its world if this is left out",
    )
    parser.add_argument("--samples", type=int, default=256, help="of the zoo's world (default: %(default)s)")
    parser.add_argument("--point", help="the point (default: as the autoencoder's files say)")
    parser.add_argument(
        "--positions",
        help=f"which positions count: {', '.join(NAMED)}, or indices (default: as the autoencoder's files say, or all)",
    )
    parser.add_argument(
        "--examples", type=int, default=usual.strongest, help="of each feature (default: %(default)s)"
    )
    parser.add_argument(
        "--effects",
        type=int,
        default=usual.effects,
        help="so many features are steered with (default: %(default)s)",
    )
    parser.add_argument(
        "--steps", type=int, default=STEPS, help="of denoising, for a pipeline (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Survey the features, write the page, and print which file to open."""
    require("jinja2", extra="report")  # said now, not after the work
    sae, known = load_sae(arguments.sae), metadata_of(arguments.sae)
    point = arguments.point or known.get("point")
    if not point:
        raise LoadError(f"{arguments.sae} does not say which point it is of. Say it with --point.")
    lens = open_model(arguments.model).lens
    given = arguments.positions or known.get("positions") or "all"
    torch.set_num_threads(1 if arguments.model.startswith("zoo:") else torch.get_num_threads())
    found = survey(
        lens,
        sae,
        inputs(lens, arguments),
        point=point,
        positions=given if given in NAMED else index(given),
        wanted=Wanted(arguments.examples, effects=arguments.effects),
        steps=slice(None) if is_pipeline(lens.model) else None,
    )
    print(found)
    title = f"Features of {arguments.model.removeprefix('zoo:')}"
    print(f"open {features_page(found, arguments.out, one_file=arguments.one_file, title=title)}")
    return 0


def metadata_of(name: str) -> dict[str, Any]:
    """Return what an autoencoder's files say besides its weights: point, positions; nothing of one of the hub."""
    from anylens.zoo.saes import sae_folder

    place, _, rest = name.partition(":")
    file = (sae_folder(rest) if place == "zoo" else Path(name)) / CONFIG
    if not file.is_file():
        return {}
    config = json.loads(file.read_text(encoding="utf-8"))
    found: dict[str, Any] = config.get("metadata") or {}
    return {
        "point": config.get("hook_name") or found.get("hook_name"),
        **found,
    }  # SAELens's word for the point


def inputs(lens: Lens, arguments: argparse.Namespace) -> Iterable[Any]:
    """Return the user's inputs, or samples of the world of a model of the zoo.

    Raises StoreError where there is neither.
    """
    if arguments.data and is_function(arguments.data):
        found: Iterable[Any] = called(arguments.data)
        return found
    if arguments.data:
        return Folder(lens, arguments.data)
    place, _, name = arguments.model.partition(":")
    if place != "zoo":
        raise StoreError(f"No data for {arguments.model}. Give --data FOLDER or --data MODULE:FUNCTION.")
    from anylens.zoo.feeding import Samples

    drawn = Samples(name, arguments.samples, batch=16, split="held_out")
    if not is_pipeline(lens.model):
        return drawn
    return drawn.with_arguments(num_inference_steps=arguments.steps, output_type="np")
