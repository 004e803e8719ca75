"""Diffusion: a Stable Diffusion that draws what a caption says."""

from anylens.demo.modality import Modality, Words
from anylens.demo.shown.pictures import Drawn
from anylens.tasks.recipe import Recipe

DIFFUSION = Modality(
    name="diffusion",
    title="Inside a small Stable Diffusion",
    recipe=Recipe(
        model="shapes-diffusion",
        point="unet.up_blocks.0.attentions.1.transformer_blocks.0.attn2.hook_out",
        task="prompts",
        width=64,
        settings={"k": 6, "widths": [24, 64]},
        samples=128,
        steps=400,
        factors=("colour", "shape"),
        steered=("colour",),
        held_out=192,
        trials=(12, 24),
        strengths=(1.5,),
    ),
    shown=Drawn(),
    towards=("colour", "white"),
    words=Words(
        lead="A model learned to draw small pictures of captions in steps out of noise, as Stable Diffusion does.",
        place="what its U-Net's last attention to the caption writes, at each of 10 steps",
        row="every cell of the picture at every step",
        samples="captions",
        truth="The captions say which colour and shape was asked for.",
        judge="another model of the zoo, shapes-vit, says which colour and shape it sees.",
        pushed="at every cell and every step, in the rows that follow the caption",
        answers="pictures",
    ),
)
