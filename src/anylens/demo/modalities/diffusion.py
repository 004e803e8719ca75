"""Diffusion: a Stable Diffusion that draws what a caption says."""

from anylens.demo.modality import Modality, Words
from anylens.demo.shown.pictures import Drawn
from anylens.tasks.recipe import Recipe

DIFFUSION = Modality(
    name="diffusion",
    title="Inside a small Stable Diffusion",
    recipe=Recipe(
        model="shapes-diffusion",
        point="unet.mid_block.hook_out",
        task="prompts",
        width=256,
        settings={"k": 12, "widths": [32, 256]},
        samples=192,
        steps=500,
        factors=("colour", "shape"),
        steered=("colour",),
        held_out=128,
        trials=(16, 48),
        strengths=(1.5, 3),
    ),
    shown=Drawn(),
    towards=("colour", "green"),
    words=Words(
        lead="A model learned to draw small pictures of captions in steps out of noise, as Stable Diffusion does.",
        place="what leaves the middle of its U-Net, at each of 10 steps",
        row="every cell of the picture at every step",
        samples="captions",
        truth="The captions say which colour and shape was asked for.",
        judge="another model of the zoo, shapes-vit, says which colour and shape it sees.",
        pushed="at every cell and every step",
        answers="pictures",
    ),
)
