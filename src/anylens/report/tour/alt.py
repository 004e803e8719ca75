"""What each figure shows, in words, for those who do not see it."""

from collections.abc import Callable

from anylens.report.tour import words
from anylens.report.tour.findings import Findings
from anylens.report.tour.material import Material


def _attention(found: Findings, material: Material) -> str:
    shares = ", ".join(words.percent(share) for share in found.looking.by_layer.tolist())
    return (
        f"{len(material.gallery)} pictures and, for each layer, the attention from the class token to 8 by 8 patches, "
        f"with the object's outline. Share on the object from layer 0 on, over all test pictures: {shares}."
    )


def _heads(found: Findings, material: Material) -> str:
    layer, head = found.looking.best
    return (
        f"The same for each head of each layer, for the {material.gallery.captions[0]}. Head {head} of layer {layer} "
        "keeps most of its attention on objects."
    )


def _stages(found: Findings, column: int) -> str:
    return ", ".join(words.percent(share) for share in found.patching.means[:, column].tolist())


def _over_picture(found: Findings, material: Material) -> str:
    alone = ", ".join(f"{value:.2f}" for value in found.patching.grid.recovered[0, :, 0].tolist())
    return (
        f"A {material.origin} and a {material.target} picture, and seven maps of what each patch recovers, over the "
        f"object's outline, from the embedding to the last layer. The class token alone recovers {alone}."
    )


def _grid(found: Findings, material: Material) -> str:
    return (
        "The same as a map of layer by position: bright cells are in the patches of the object before the first "
        "layer, and in the class token after the last ones."
    )


def _groups(found: Findings, material: Material) -> str:
    return (
        f"Three lines over the layers. Class token: {_stages(found, 0)}. Patches of the object together: "
        f"{_stages(found, 1)}. Patches of the background together: {_stages(found, 2)}."
    )


def _steering(found: Findings, material: Material) -> str:
    rates = ", ".join(words.percent(rate.target) for rate in found.steering.by_layer["own"])
    return (
        f"Left: share of pictures named {material.target} when the vector for their shape is added after each layer: "
        f"{rates}. Right: the same after layer {found.steering.layer} for growing strength. One vector for all shapes, "
        "and random ones, beside both."
    )


def _ablation(found: Findings, material: Material) -> str:
    return "Two maps of layer by head: the loss that each head's ablation adds, for the colour and for the shape."


ALT: dict[str, Callable[[Findings, Material], str]] = {
    "attention": _attention,
    "heads": _heads,
    "patching_over_picture": _over_picture,
    "patching_grid": _grid,
    "patching_groups": _groups,
    "steering": _steering,
    "ablation": _ablation,
    "overview": lambda found, material: (
        "Four panels: attention on the object, where the colour sits, when it moves to the class token, and how "
        "steering changes the answers. Each is explained below."
    ),
}
