"""The results in plain words, each with its number and its control; the page and the terminal say the same."""

from anylens.report.tour.ablation import WORDS, Ablation
from anylens.report.tour.looking import Looking
from anylens.report.tour.material import Material
from anylens.report.tour.patching import Patching
from anylens.report.tour.steering import Steering


def percent(share: float) -> str:
    """Write a share of 0..1 as a percentage."""
    return f"{share:.0%}"


def predictions(material: Material, accuracy: float) -> str:
    """Say how well the model does."""
    return (
        f"It names colour and shape of {percent(accuracy)} of {len(material.test)} pictures it was not trained on; "
        f"guessing would get {percent(1 / len(material.labels.names))}."
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
    """Say where the colour sits, and when it moves."""
    means, pairs = found.means, len(found.groups)
    start = (
        f"Entering layer 0, the colour is in the patches of the object: putting the clean ones into the corrupted run "
        f"recovers {percent(means[0, 1].item())} of the logit difference, those of the background "
        f"{percent(means[0, 2].item())} (mean over {pairs} pairs)."
    )
    if found.moved is None:
        return f"{start} The class token alone never recovers half."
    return (
        f"{start} After layer {found.moved - 1} it has moved: the class token alone recovers "
        f"{percent(means[found.moved, 0].item())}, after {percent(means[found.moved - 1, 0].item())} a layer earlier."
    )


def steering(found: Steering, material: Material) -> str:
    """Say what the edit does, beside its control."""
    edited, control = found.layers[found.layer], found.controls[found.layer]
    return (
        f"Adding the difference of means ({material.target} less {material.origin}) to the class token after layer "
        f"{found.layer} makes the model call {percent(edited.target)} of {len(material.steered)} {material.origin} "
        f"pictures {material.target}; {percent(edited.shape)} keep their shape. Random directions of the same length: "
        f"{percent(control.target)} called {material.target}."
    )


def ablation(found: Ablation) -> str:
    """Say which head matters most to each word, beside the others."""
    parts = []
    for word, name in enumerate(WORDS):
        layer, head = found.most(word)
        parts.append(
            f"{name}: head {head} of layer {layer} (accuracy {percent(found.accuracy[word].item())} to "
            f"{percent(found.accuracy_without[layer, head, word].item())}; the middle head leaves it at "
            f"{percent(found.accuracy_without[..., word].median().item())})"
        )
    return "The head whose loss costs most, for the " + ", and for the ".join(parts) + "."
