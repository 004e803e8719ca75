"""State space: a Mamba that goes on with sentences."""

from dataclasses import replace

from anylens.demo.modalities.text import TEXT

STATE_SPACE = replace(
    TEXT,
    name="state-space",
    title="Inside a small Mamba",
    recipe=replace(TEXT.recipe, model="grammar-mamba", point="blocks.0.hook_resid_post"),
    words=replace(
        TEXT.words,
        lead="A model learned to go on with sentences of a small grammar, with Mamba's own architecture: no attention, "
        "but a state that is carried from word to word.",
        place="what leaves its first layer",
    ),
)
