"""Small models with known truth: procedural worlds, and models trained on them that ship with the package.

A world draws samples whose every factor is known, and a model comes in the class that the hub's models have:

    model = load_model("shapes-vit")
    batch = anylens.zoo.worlds.shapes.sample(8, seed=0, split="held_out")
    logits = model(pixel_values=batch.pixel_values).logits

It stands apart from the rest of anylens: of that it imports `core` alone.
"""

from anylens.zoo.catalogue import Entry, entry, names
from anylens.zoo.loading import card, load_model, load_processor, load_world

__all__ = ["Entry", "card", "entry", "load_model", "load_processor", "load_world", "names"]
