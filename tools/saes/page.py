"""The part of docs/saes.md on the autoencoders that ship, from their cards."""

from pathlib import Path
from typing import Any

from anylens.tasks.recipe import Recipe
from tools.saes.checking import card_of
from tools.saes.recipes import RECIPES

PAGE = Path(__file__).parents[2] / "docs" / "saes.md"
BEGIN, END = "<!-- made by `make saes-check`: begin -->", "<!-- end -->"
COLUMNS = (
    "`zoo:` ...",
    "latents",
    "L0",
    "FVU",
    "dead",
    "recovered",
    "values found",
    "steering",
    "others stayed",
    "control",
    "MB",
)
HEAD = """\
Half precision, in SAELens's format. `make saes` trains them again, `make saes-check` measures them and writes this.
Everything is measured on held-out samples. *Recovered* is the share of what the point does for the model's loss that
the reconstruction keeps (for makers of pictures: of how near the pictures stay). *Values found* is the share of the
factors' values that a single feature finds with an AUROC over 0.95, the feature chosen in one half of the samples and
scored in the other; in brackets the largest AUROC of the same search with shuffled labels. *Steering* adds one
feature and counts how many outputs change to the value meant, the mean over all values; feature and strength are
chosen on other samples: of those that change 85% there, the ones that leave most as it was, else those that change
most. *Others stayed* is the share of their other factors that did not change, *control* the share that random active
features of the same strength change to that value. An FVU under 0.15, 80% of values, and 70% of outputs against at
most 15% by the control are what was to be reached; (missed) is written where they are not."""


def part() -> str:
    """Return the table, and the details of each autoencoder."""
    cards = [(recipe, card) for recipe in RECIPES if (card := card_of(recipe)) is not None]
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS)), *(_line(_row(*one)) for one in cards)]
    return "\n".join([HEAD, "", *lines, "", *(_detail(*one) for one in cards)])


def write() -> None:
    """Put the part between the marks of the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{part()}\n\n{END}{after}", encoding="utf-8")


def _row(recipe: Recipe, card: dict[str, Any]) -> list[str]:
    steering = card["steering"]
    controls = [one["control"] for values in card["factors"].values() for one in values.values()]
    return [
        f"`{recipe.name}`",
        f"{card['latents']}",
        f"{card['l0']:.1f}",
        _marked(f"{card['fvu']:.3f}", card["fvu"] < 0.15),
        f"{card['dead']}",
        f"{card['recovered']:.1%}",
        _marked(f"{card['over']:.0%}", card["over"] >= 0.8) + f" [{max(controls):.2f}]",
        _marked(f"{steering['changed']:.0%}", steering["changed"] >= 0.7),
        f"{steering['kept']:.0%}",
        _marked(f"{steering['control']:.0%}", steering["control"] <= 0.15),
        f"{card['bytes'] / 1e6:.2f}",
    ]


def _marked(text: str, reached: bool) -> str:
    return text if reached else f"{text} (missed)"


def _detail(recipe: Recipe, card: dict[str, Any]) -> str:
    how = "by samples, the largest activation over positions" if recipe.pooled else "position by position"
    found = "; ".join(
        f"{factor} " + ", ".join(f"{value} {one['auroc']:.2f}" for value, one in values.items())
        for factor, values in card["factors"].items()
    )
    steered = ", ".join(f"{one['value']} {one['changed']:.0%}" for one in card["steered"])
    note = f" {recipe.note}" if recipe.note else ""
    return f"- `{recipe.name}`, {card['variant']}, scored {how}. AUROC: {found}. Steered to: {steered}.{note}"


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"
