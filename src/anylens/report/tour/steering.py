"""Steering: the model is pushed from one colour to another by a vector added to its class token.

Three vectors are compared: the difference of means over pictures of the same shape, that over pictures of all shapes,
and a random one. Where the first works and the second does not, the model keeps colour and shape together.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from anylens.analysis.directions import difference_of_means, random_like
from anylens.lens import Lens
from anylens.report.tour.material import Material
from anylens.running.interventions import add

STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0)
KINDS = ("own", "shared", "random")
POINTS = "blocks.*.hook_resid_post"

Vectors = Float[Tensor, "picture d_model"]


@dataclass(frozen=True)
class Rates:
    """Shares of pictures after an edit: named with the target colour, and with their own shape."""

    target: float
    shape: float


@dataclass(frozen=True)
class Steering:
    """What the edit does to pictures that the vectors were not made from, for each of `KINDS`.

    by_layer: after each layer, at strength 1. layer: the first at which the own vectors do most. by_strength: there,
    for each of `STRENGTHS`. before, after: the labels without the edit, and with the own vectors at strength 1.
    """

    by_layer: dict[str, tuple[Rates, ...]]
    layer: int
    by_strength: dict[str, tuple[Rates, ...]]
    before: Int[Tensor, "picture"]
    after: Int[Tensor, "picture"]

    def best(self, kind: str) -> Rates:
        """Return what a kind of vector does at the layer, at strength 1."""
        return self.by_layer[kind][self.layer]


def steer(lens: Lens, material: Material, tick: Callable[[int, int], None]) -> Steering:
    """Measure what the edits do, after every layer, and at every strength where they do most."""
    vectors = vectors_of(lens, material)
    count = len(vectors["own"])
    by_layer: dict[str, tuple[Rates, ...]] = {}
    for kind in KINDS:
        by_layer[kind] = tuple(_rates(lens, material, n, vectors[kind][n]) for n in range(count))
        tick(len(by_layer), 2 * len(KINDS))
    layer = max(range(count), key=lambda n: by_layer["own"][n].target + by_layer["own"][n].shape)
    by_strength: dict[str, tuple[Rates, ...]] = {}
    for kind in KINDS:
        way = vectors[kind][layer]
        by_strength[kind] = tuple(_rates(lens, material, layer, way * strength) for strength in STRENGTHS)
        tick(len(KINDS) + len(by_strength), 2 * len(KINDS))
    own = vectors["own"][layer]
    before, after = (_named(lens, material.steered.inputs, layer, way) for way in (own * 0, own))
    return Steering(by_layer, layer, by_strength, before, after)


def vectors_of(lens: Lens, material: Material) -> dict[str, list[Vectors]]:
    """Return, for each kind and layer, the vector for each picture that is steered."""
    shapes = material.labels.shape
    made, wanted = shapes[material.away.answers], shapes[material.steered.answers]
    shared = _differences(lens, material, torch.ones_like(made, dtype=torch.bool))
    by_shape = {shape: _differences(lens, material, made == shape) for shape in wanted.unique().tolist()}
    own = [torch.stack([by_shape[shape][n] for shape in wanted.tolist()]) for n in range(len(shared))]
    return {
        "own": own,
        "shared": [way.expand_as(own[n]) for n, way in enumerate(shared)],
        "random": [random_like(way, seed=n) for n, way in enumerate(own)],
    }


def _differences(lens: Lens, material: Material, which: Tensor) -> list[Float[Tensor, "d_model"]]:
    """Return, for each layer, the difference of the mean class tokens over some of the training pictures."""
    sides = [[{"pixel_values": side.inputs[which]}] for side in (material.towards, material.away)]
    return list(difference_of_means(lens, *sides, points=POINTS, positions="first").values())


@torch.no_grad()
def _named(lens: Lens, inputs: Tensor, layer: int, way: Vectors) -> Int[Tensor, "picture"]:
    """Return the labels that the model gives with a vector added to its class token."""
    hooks = {POINTS.replace("*", str(layer)): add(way[:, None]).on(pos=0)}
    labels: Tensor = lens.run_with_hooks(pixel_values=inputs, hooks=hooks).logits.argmax(-1)
    return labels


def _rates(lens: Lens, material: Material, layer: int, way: Vectors) -> Rates:
    named = _named(lens, material.steered.inputs, layer, way)
    labels = material.labels
    target = labels.colour[named] == labels.colours.index(material.target)
    shape = labels.shape[named] == labels.shape[material.steered.answers]
    return Rates(target.float().mean().item(), shape.float().mean().item())
