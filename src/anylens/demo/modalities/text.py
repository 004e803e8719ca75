"""Text: a GPT-2 that goes on with sentences."""

from anylens.demo.modality import Modality, Words
from anylens.demo.shown.next_words import NextWords
from anylens.tasks.recipe import Recipe

TEXT = Modality(
    name="text",
    title="Inside a small GPT-2",
    recipe=Recipe(
        model="grammar-gpt2",
        point="blocks.1.hook_resid_post",
        task="words",
        positions="attended",
        width=256,
        settings={"k": 10, "widths": [32, 256]},
        samples=3_000,
        steps=500,
        pooled=False,
        factors=("tense", "topic", "number", "role"),
        steered=("tense", "topic", "number"),
        at={"pos": -1},
        held_out=512,
        trials=(32, 96),
        strengths=(1, 1.5, 2, 3, 6),
    ),
    shown=NextWords(),
    towards=("tense", "past"),
    words=Words(
        lead="A model learned to go on with sentences of a small grammar, with GPT-2's own architecture.",
        place="what leaves its second layer",
        row="every word",
        samples="sentences",
        truth="The sentences were made by a grammar, so the role of each word is known, and what is settled of the "
        "verb that comes next.",
        judge="the verbs that the model expects next have a number, a tense and a topic.",
        pushed="to the last word",
        answers="beginnings of sentences",
    ),
)
