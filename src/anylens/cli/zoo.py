"""`anylens zoo`: the models that ship with the package and what they score, and their worlds to look at."""

import argparse
from pathlib import Path
from typing import Any

from anylens.core.errors import AnylensError, ZooError
from anylens.zoo import Entry, card, entry, names
from anylens.zoo.saes import sae_names

WORLDS = ("shapes", "vowels", "melodies", "grammar")
COUNT = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="list the models with their numbers (the default)")
    show = actions.add_parser("show", help="write samples of a world: pictures, sounds, sentences")
    show.add_argument("world", help=f"one of: {', '.join(WORLDS)}")
    show.add_argument("--out", type=Path, help="folder to write into (default: WORLD)")
    show.add_argument("--count", type=int, default=COUNT, help="how many samples (default: %(default)s)")
    show.add_argument("--seed", type=int, default=0, help="which samples (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """List the models, or show a world."""
    if arguments.action == "show":
        out = arguments.out or Path(arguments.world)
        print(shown(arguments.world, out=out, count=arguments.count, seed=arguments.seed))
    else:
        print("\n\n".join(about(name) for name in names()))
    return 0


def about(name: str) -> str:
    """What a model is, and its numbers."""
    known = entry(name)
    lines = [f"zoo:{name}", f"  {known.summary}", f"  class     {known.model_class.replace(':', '.')}"]
    try:
        facts = card(name)
    except ZooError as error:
        return "\n".join([*lines, f"  weights   {error}"])
    size = f"{facts['parameters']:,} parameters, {facts['weights_bytes'] / 1e6:.1f} MB"
    made = f"{facts['command']} ({facts['seconds'] / 60:.0f} minutes)"
    return "\n".join(
        [*lines, f"  size      {size}", f"  made by   {made}", *_scores(known, facts), *_saes(name)]
    )


def _scores(known: Entry, facts: dict[str, Any]) -> list[str]:
    """The numbers measured on samples that the model was not trained on, each with what it must be."""
    measured = facts.get("measured")
    if not measured:
        return []
    told = [f"{target.told(measured)} (must be {target.wanted})" for target in known.targets]
    return [f"  scores    {', '.join(told)}, on {measured['samples']:,} held-out samples"]


def _saes(name: str) -> list[str]:
    """The autoencoders that ship with the model."""
    points = [point for model, _, point in (one.partition("/") for one in sae_names()) if model == name]
    return [f"  saes      {', '.join(f'zoo:{name}/{point}' for point in points)}"] if points else []


def shown(world: str, *, out: Path, count: int, seed: int) -> str:
    """Write samples of a world into a folder; returns what was written."""
    from anylens.zoo.worlds.shown import show

    try:
        written = show(world, out, count=count, seed=seed)
    except OSError as error:
        raise AnylensError(
            f"cannot write to {out} ({error.strerror}); choose another folder with --out"
        ) from None
    more = f" and {len(written) - 1} more files beside it" if len(written) > 1 else ""
    return f"{written[0]}{more}: {count} samples of the world {world}, seed {seed}"
