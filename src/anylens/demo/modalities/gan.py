"""GAN: a generator of pictures from random numbers."""

from anylens.demo.modality import Modality, Words
from anylens.demo.shown.pictures import Invented
from anylens.tasks.recipe import Recipe

GAN = Modality(
    name="gan",
    title="Inside a small GAN",
    recipe=Recipe(
        model="shapes-gan",
        point="generator.stages.2.hook_post",
        task="inventions",
        variant="topk",
        width=96,
        settings={"k": 5},
        samples=1_000,
        steps=500,
        factors=("colour",),
        steered=("colour",),
        held_out=384,
        trials=(24, 64),
        strengths=(0.5, 1, 2, 3),
    ),
    shown=Invented(),
    towards=("colour", "white"),
    words=Words(
        lead="A generator learned to make small pictures out of random numbers, against a discriminator that tells "
        "them from true ones.",
        place="what leaves its third stage",
        row="each cell of a map of the picture",
        samples="pictures",
        truth="Another model of the zoo, shapes-vit, says which colour and shape it sees in each picture that is made, "
        "where it is sure.",
        judge="shapes-vit again.",
        pushed="at every cell",
        answers="pictures",
    ),
)
