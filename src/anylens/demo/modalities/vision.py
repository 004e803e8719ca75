"""Vision: a vision transformer that names colour and shape."""

from anylens.demo.modality import Modality, Words
from anylens.demo.shown.answers import Answers
from anylens.tasks.recipe import Recipe

VISION = Modality(
    name="vision",
    title="Inside a small vision transformer",
    recipe=Recipe(
        model="shapes-vit",
        point="blocks.4.hook_resid_post",
        task="classes",
        width=128,
        settings={"k": 8, "widths": [24, 128]},
        samples=1_500,
        steps=500,
        factors=("colour", "shape"),
        steered=("colour",),
        held_out=384,
        trials=(32, 96),
        strengths=(1.5, 2, 3, 4),
    ),
    shown=Answers(),
    towards=("colour", "orange"),
    words=Words(
        lead="A model learned to name the colour and the shape in small pictures, with a ViT's own architecture.",
        place="what leaves the last layer but one",
        row="each of 64 patches of the picture, and for the class token, from which the answer is read",
        samples="pictures",
        truth="The pictures were drawn by a program, so it is known which colour and shape each shows.",
        judge="the model's own answer says which colour and which shape it names.",
        pushed="at every patch and the class token",
        answers="answers",
    ),
    more="anylens.demo.tour",
)
