"""The numbers behind the figures, as tables: for those who want to read them off, and for tests."""

from dataclasses import dataclass

from anylens.report.tour.ablation import WORDS
from anylens.report.tour.figures import stages
from anylens.report.tour.findings import Findings
from anylens.report.tour.material import Material
from anylens.report.tour.patching import GROUPS
from anylens.report.tour.steering import KINDS


@dataclass(frozen=True)
class Table:
    """A caption, the names of the columns, and rows of a name and numbers."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float, ...]], ...]


def tables(found: Findings, material: Material) -> dict[str, Table]:
    """Return the tables by the section that they belong to."""
    return {
        "attention": _attention(found),
        "patching": _patching(found),
        "steering": _steering(found, material),
        "ablation": _ablation(found),
    }


def _attention(found: Findings) -> Table:
    shares = found.looking.on_object
    return Table(
        f"Share of attention on the object (chance {found.looking.chance:.3f})",
        ("layer", *(f"head {n}" for n in range(shares.shape[1])), "mean"),
        tuple((str(layer), (*line.tolist(), line.mean().item())) for layer, line in enumerate(shares)),
    )


def _patching(found: Findings) -> Table:
    means = found.patching.means
    return Table(
        f"Logit difference recovered, mean over {len(found.patching.groups)} pairs",
        ("stream", *GROUPS),
        tuple((name, tuple(line.tolist())) for name, line in zip(stages(found.patching), means, strict=True)),
    )


def _steering(found: Findings, material: Material) -> Table:
    edits = [found.steering.by_layer[kind] for kind in KINDS]
    return Table(
        f"Share of {len(material.steered)} {material.origin} pictures named {material.target}, and with their own "
        "shape, after an edit at strength 1",
        ("after layer", *(f"{name}: {what}" for name in KINDS for what in (material.target, "shape"))),
        tuple(
            (str(layer), tuple(share for rates in line for share in (rates.target, rates.shape)))
            for layer, line in enumerate(zip(*edits, strict=True))
        ),
    )


def _ablation(found: Findings) -> Table:
    cost, right = found.ablation.cost, found.ablation.accuracy_without
    return Table(
        "Without one head: loss added in nats, and accuracy (as the model is: "
        + ", ".join(f"{name} {value:.3f}" for name, value in zip(WORDS, found.ablation.accuracy, strict=True))
        + ")",
        ("layer.head", *(f"{name}: loss" for name in WORDS), *(f"{name}: accuracy" for name in WORDS)),
        tuple(
            (f"{layer}.{head}", (*cost[layer, head].tolist(), *right[layer, head].tolist()))
            for layer in range(cost.shape[0])
            for head in range(cost.shape[1])
        ),
    )
