"""The page of documentation about the zoo: what each model must reach, and what it was measured to reach.

`python -m anylens.zoo.table > docs/zoo.md` writes it from the models' cards; `make zoo-check` measures them first.
"""

from __future__ import annotations

from anylens.core.errors import ZooError
from anylens.zoo.catalogue import ENTRIES, Entry
from anylens.zoo.loading import card

HEAD = """# The zoo

Small models that ship with the package, trained on procedural [worlds](worlds.md) whose every factor is known. They
come in the classes that the hub's models have, work offline, and give what no other model can: the truth to score a
feature or a steering vector against.

```python
import anylens

lens = anylens.load("zoo:shapes-vit")  # lens.model, lens.processor, lens.layout, lens.world
batch = lens.world.sample(8, seed=0, split="held_out")
out, cache = lens.run_with_cache(pixel_values=batch.pixel_values, points="blocks.*.hook_resid_post")
```

A model takes what its class takes. `lens.processor` is its processor or tokenizer, where it has one; the pipelines are
called with a prompt (`zoo:shapes-diffusion`) or with `class_labels` (`zoo:shapes-dit`), the GAN with a latent, as
`anylens.zoo.feeding.Samples("shapes-gan", 8)` gives it, the flow with pictures of half their size, which
`anylens.zoo.measure.shapes_flow` makes of the world's.

The table is written by `make zoo-check`, which measures every shipped file anew: on pictures, sounds and sentences that
its model was not trained on, the GAN on random latents. Captions and classes are few: `shapes-diffusion`, `shapes-dit`
and `melodies-musicgen` were trained on most or all of them. The first two draw another picture each time.
"Obeyed" is colour and shape together, as `shapes-vit` sees them; a latent of the GAN asks for both as well.

`make zoo` trains all models again from their seeds, two at a time, each after those that it needs; on the machine that
made them it gave the same weights, bit for bit. Minutes are those of the training's steps, on one core of a slow
machine. To add a model: an entry in `anylens/zoo/catalogue.py` with what it must reach, a script in `zoo/train/` that
ends in a `Script`, and a module in `zoo/measure/`.
"""

COLUMNS = ("model", "class", "measured", "must be", "samples", "parameters", "MB", "seed", "steps", "minutes")


def page() -> str:
    """The page in Markdown, from the cards of all models."""
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS))]
    lines += [_line(row) for known in ENTRIES for row in _rows(known)]
    about = [f"- `zoo:{known.name}`: {known.summary}." for known in ENTRIES]
    short = [f"- `zoo:{known.name}`: {known.shortfall}" for known in ENTRIES if known.shortfall]
    parts = [HEAD, "\n".join(lines), "\n".join(about)]
    parts += ["## What falls short, and why\n", "\n".join(short)] if short else []
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _rows(known: Entry) -> list[list[str]]:
    """A row for each target of a model; what is the same in all stands in the first."""
    facts = card(known.name)
    if "measured" not in facts:
        raise ZooError(
            f"{known.name} was trained but not measured; run `make zoo-check ARGS={known.name}` first"
        )
    measured = facts["measured"]
    rows = []
    for number, target in enumerate(known.targets):
        mark = "" if target.reached(measured) else " (missed)"
        scores = [target.told(measured) + mark, target.wanted]
        rows.append(_facts(known, facts, scores) if number == 0 else ["", "", *scores] + [""] * 6)
    return rows


def _facts(known: Entry, facts: dict[str, object], scores: list[str]) -> list[str]:
    size, seconds, measured = facts["weights_bytes"], facts["seconds"], facts["measured"]
    assert isinstance(size, int)
    assert isinstance(seconds, int)
    assert isinstance(measured, dict)
    name = f"`zoo:{known.name}`"
    numbers = [f"{measured['samples']:,}", f"{facts['parameters']:,}", f"{size / 1e6:.2f}"]
    made = [str(facts["seed"]), f"{facts['steps']:,}", f"{seconds / 60:.0f}"]
    return [name, known.model_class.partition(":")[2], *scores, *numbers, *made]


def _line(cells: object) -> str:
    assert isinstance(cells, list | tuple)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(page(), end="")
