"""The pictures of the demo, drawn from the zoo's world of shapes; the report itself knows no world."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch

from anylens.demo.script import script_of, sections
from anylens.report.tour.material import Labels, Material, Pictures
from anylens.zoo.worlds.shapes import FACTORS, Scene, ShapesBatch, masks, sample

TEST, TRAIN, PAIRS, STEERED = 64, 96, 16, 40
AWAY, TOWARDS = "red", "blue"
FIRST = Scene(shape="star", colour="red", size="large", background="gradient", x=19, y=13, noise_seed=7)
SHOW = ("star", "ring", "triangle", "cross", "square")


def material_of(model: Any, *, name: str, measured: Mapping[str, Any]) -> Material:
    """Draw the pictures for a model of the shapes world; `measured` are the numbers on its card."""
    names = tuple(model.config.id2label[number] for number in range(model.config.num_labels))
    test = sample(TEST, seed=10, split="held_out").scenes
    pairs = (FIRST, *(in_colour(sample(PAIRS - 1, seed=11, split="held_out").scenes, AWAY)))
    train = sample(TRAIN, seed=1, split="train").scenes

    def pictures(scenes: Iterable[Scene]) -> Pictures:
        return _pictures(scenes, names)

    return Material(
        model=name,
        facts=facts_of(model, measured),
        labels=Labels(names, FACTORS["colour"], FACTORS["shape"]),
        test=pictures(test),
        gallery=pictures(gallery(test)),
        clean=pictures(pairs),
        corrupted=pictures(in_colour(pairs, TOWARDS)),
        towards=pictures(in_colour(train, TOWARDS)),
        away=pictures(in_colour(train, AWAY)),
        steered=pictures(in_colour(sample(STEERED, seed=12, split="held_out").scenes, AWAY)),
        reference=pictures(train),
        script=sections(script_of("vision_tour")),
    )


def facts_of(model: Any, measured: Mapping[str, Any]) -> dict[str, Any]:
    """What the model is."""
    return {
        "class": type(model).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "layers": model.config.num_hidden_layers,
        "heads": model.config.num_attention_heads,
        "accuracy": measured["accuracy"],
        "samples": measured["samples"],
        "patches": (model.config.image_size // model.config.patch_size) ** 2,
    }


def in_colour(scenes: Iterable[Scene], colour: str) -> tuple[Scene, ...]:
    """The same scenes in another colour, and different in nothing else."""
    return tuple(replace(scene, colour=colour) for scene in scenes)


def gallery(scenes: Iterable[Scene]) -> tuple[Scene, ...]:
    """One large or medium picture of some shapes, each in a colour of its own."""
    chosen: list[Scene] = []
    for shape in SHOW:
        used = {scene.colour for scene in chosen}
        fits = (s for s in scenes if s.shape == shape and s.size != "small" and s.colour not in used)
        chosen.extend(list(fits)[:1])
    return tuple(chosen)


def _pictures(scenes: Iterable[Scene], names: tuple[str, ...]) -> Pictures:
    batch = ShapesBatch.of(scenes)
    return Pictures(
        inputs=batch.pixel_values,
        pixels=batch.pixels,
        mask=masks(batch.scenes),
        answers=torch.tensor([names.index(scene.label) for scene in batch.scenes]),
        captions=tuple(batch.captions),
    )
