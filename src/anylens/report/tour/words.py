"""The results in plain words, each with its number and its control; the page and the terminal say the same."""

from anylens.report.tour.ablation import WORDS, Ablation
from anylens.report.tour.looking import Looking
from anylens.report.tour.material import Material
from anylens.report.tour.patching import Patching
from anylens.report.tour.steering import KINDS, STRENGTHS, Steering

SPREAD = 0.2  # a share that is worth a sentence


def percent(share: float) -> str:
    """Write a share of 0..1 as a percentage."""
    return f"{share:.0%}"


def predictions(material: Material, accuracy: float) -> str:
    """Say how well the model does."""
    return (
        f"It names colour and shape of {percent(accuracy)} of the {len(material.test)} pictures used here, and of "
        f"{material.facts['accuracy']:.1%} of {material.facts['samples']:,} others when it was made; it was trained on "
        f"none of them. Guessing would get {percent(1 / len(material.labels.names))}."
    )


def looking(found: Looking) -> str:
    """Say where the class token looks."""
    layer, head = found.best
    strongest = int(found.by_layer.argmax())
    return (
        f"In layer {strongest}, {percent(found.by_layer[strongest].item())} of the class token's attention to the "
        f"patches lands on patches that hold the object (head {head} of layer {layer}: "
        f"{percent(found.on_object[layer, head].item())}). Attention without preference would put "
        f"{percent(found.chance)} there."
    )


def patching(found: Patching) -> str:
    """Say where the colour sits, when it spreads, and when the class token has it."""
    means, pairs = found.means.tolist(), len(found.groups)
    parts = [
        f"Before the first layer, the colour is in the patches of the object alone: they recover "
        f"{percent(means[0][1])} of the logit difference, those of the background {percent(means[0][2])} (mean over "
        f"{pairs} pairs)."
    ]
    if means[1][2] > SPREAD:
        parts.append(
            f"Layer 0 spreads it over the whole picture: after it, the object's patches recover "
            f"{percent(means[1][1])}, the background's {percent(means[1][2])}, the class token {percent(means[1][0])}."
        )
    if found.moved is not None:
        later = ", ".join(percent(line[0]) for line in means[found.moved + 1 :])
        parts.append(
            f"After layer {found.moved - 1}, most of it is in the class token alone: {percent(means[found.moved][0])}"
            + (f", and {later} after the layers that follow." if later else ".")
        )
    return " ".join(parts)


def steering(found: Steering, material: Material) -> str:
    """Say what the edit does, beside its controls."""
    own, shared, random = (found.best(kind) for kind in KINDS)
    return (
        f"Added to the class token after layer {found.layer}, the mean difference between {material.target} and "
        f"{material.origin} pictures of the same shape makes the model call {percent(own.target)} of "
        f"{len(material.steered)} {material.origin} pictures {material.target}, and {percent(own.shape)} keep their "
        f"shape. One difference made from all shapes turns {percent(shared.target)}, and random vectors of the same "
        f"length turn {percent(random.target)}."
    )


def together(found: Steering) -> str:
    """Say what the comparison of the vectors means."""
    own, shared, _ = (found.best(kind) for kind in KINDS)
    longer = found.by_strength["shared"][-1]
    if own.target - shared.target > SPREAD:
        return (
            f"So the class token does not keep the colour apart from the shape: no one vector of natural length stands "
            f"for it. Made {STRENGTHS[-1]:g} times as long, the one for all shapes turns {percent(longer.target)}, and "
            f"{percent(longer.shape)} keep their shape."
        )
    return "The shared vector does as well: the colour has a direction of its own, whatever the shape."


def ablation(found: Ablation) -> str:
    """Say which head matters most to each word, beside the others."""
    parts, whole, median = [], [], []
    for word, name in enumerate(WORDS):
        layer, head = found.most(word)
        left = found.accuracy_without[layer, head, word].item()
        parts.append(
            f"without head {head} of layer {layer}, the {name} is right in {percent(left)} of the pictures"
        )
        whole.append(percent(found.accuracy[word].item()))
        median.append(percent(found.accuracy_without[..., word].median().item()))
    return (
        f"The heads that are missed most: {'; '.join(parts)}. As the model is, they are right in "
        f"{' and '.join(whole)}; without the median head, in {' and '.join(median)}."
    )
