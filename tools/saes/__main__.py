"""`make saes` trains the zoo's autoencoders; `make saes-check` measures those that ship and writes docs/saes.md."""

import argparse
import time

from anylens.tasks.making import made, opened
from anylens.tasks.recipe import Recipe
from tools.saes import page
from tools.saes.checking import check
from tools.saes.making import kept
from tools.saes.recipes import recipes


def train(recipe: Recipe) -> str:
    """Make one and write it to where it ships from."""
    began = time.perf_counter()
    folder = kept(recipe, made(recipe, *opened(recipe)))
    return f"{recipe.name}: written to {folder} in {time.perf_counter() - began:.0f} s"


def measure(recipe: Recipe) -> str:
    """Measure one from its files."""
    card = check(recipe)
    steering = card["steering"]
    return (
        f"{recipe.name}: L0 {card['l0']}, FVU {card['fvu']}, {card['over']:.0%} of values found, steering "
        f"{steering['changed']:.0%}, others stayed {steering['kept']:.0%}, control {steering['control']:.0%}"
    )


def main() -> None:
    """Train or measure those that are named, or all."""
    parser = argparse.ArgumentParser(prog="saes", description=__doc__)
    parser.add_argument("action", choices=("train", "check"))
    parser.add_argument("names", nargs="*", help="MODEL or MODEL/POINT (default: all)")
    given = parser.parse_args()
    for recipe in recipes(tuple(given.names)):
        print(train(recipe) if given.action == "train" else measure(recipe), flush=True)
    if given.action == "check":
        page.write()


if __name__ == "__main__":
    main()
