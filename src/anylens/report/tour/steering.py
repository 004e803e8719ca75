"""Steering: the model is pushed from one colour to another by a vector added to its class token."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from anylens.analysis.directions import difference_of_means, random_like
from anylens.lens import Lens
from anylens.report.tour.material import Material
from anylens.running.interventions import add

STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0)
CONTROLS = 2  # random directions


@dataclass(frozen=True)
class Rates:
    """Shares of pictures after an edit: named with the target colour, and with their own shape."""

    target: float
    shape: float


@dataclass(frozen=True)
class Steering:
    """What the edit does to pictures that the direction was not made from.

    layers: at each layer, with the direction as it is. controls: the same with random directions of the same length,
    mean over some. strengths, random: at one layer, with the direction and random ones times each of `STRENGTHS`.
    before, after: the labels of the pictures, without the edit and with it at strength 1.
    """

    layers: tuple[Rates, ...]
    controls: tuple[Rates, ...]
    layer: int
    strengths: tuple[Rates, ...]
    random: tuple[Rates, ...]
    before: Int[Tensor, "picture"]
    after: Int[Tensor, "picture"]


def point_of(layer: int) -> str:
    """Return the name of the point that is edited."""
    return f"blocks.{layer}.hook_resid_post"


def steer(lens: Lens, material: Material) -> Steering:
    """Measure what the edit does, at every layer, and at every strength at the layer where it does most."""
    ways = _directions(lens, material)
    layers = tuple(_rates(lens, material, layer, way) for layer, way in enumerate(ways))
    controls = tuple(_control(lens, material, layer, way) for layer, way in enumerate(ways))
    layer = max(range(len(ways)), key=lambda n: layers[n].target + layers[n].shape)
    way = ways[layer]
    return Steering(
        layers=layers,
        controls=controls,
        layer=layer,
        strengths=tuple(_rates(lens, material, layer, way * strength) for strength in STRENGTHS),
        random=tuple(_control(lens, material, layer, way * strength) for strength in STRENGTHS),
        before=_named(lens, material.steered.inputs, layer, torch.zeros_like(way)),
        after=_named(lens, material.steered.inputs, layer, way),
    )


def _directions(lens: Lens, material: Material) -> list[Float[Tensor, "d_model"]]:
    towards, away = ({"pixel_values": side.inputs} for side in (material.towards, material.away))
    found = difference_of_means(lens, towards, away, points="blocks.*.hook_resid_post")
    return [way[0] for way in found.values()]


@torch.no_grad()
def _named(lens: Lens, inputs: Tensor, layer: int, way: Tensor) -> Int[Tensor, "picture"]:
    """Return the labels that the model gives with a vector added to its class token."""
    hooks = {point_of(layer): add(way).on(pos=0)}
    labels: Tensor = lens.run_with_hooks(pixel_values=inputs, hooks=hooks).logits.argmax(-1)
    return labels


def _rates(lens: Lens, material: Material, layer: int, way: Tensor) -> Rates:
    named = _named(lens, material.steered.inputs, layer, way)
    labels = material.labels
    target = labels.colour[named] == labels.colours.index(material.target)
    shape = labels.shape[named] == labels.shape[material.steered.answers]
    return Rates(target.float().mean().item(), shape.float().mean().item())


def _control(lens: Lens, material: Material, layer: int, way: Tensor) -> Rates:
    if not way.any():
        return _rates(lens, material, layer, way)
    found = [_rates(lens, material, layer, random_like(way, seed=seed)) for seed in range(CONTROLS)]
    return Rates(*(sum(getattr(one, name) for one in found) / CONTROLS for name in ("target", "shape")))
