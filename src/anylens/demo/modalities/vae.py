"""VAE: an autoencoder of pictures, as latent diffusion uses them."""

from anylens.demo.modality import Modality, Words
from anylens.demo.shown.pictures import GivenBack
from anylens.tasks.recipe import Recipe

VAE = Modality(
    name="vae",
    title="Inside a small VAE",
    recipe=Recipe(
        model="shapes-vae",
        point="decoder.mid_block.hook_out",
        task="reconstructions",
        width=256,
        settings={"k": 12, "widths": [32, 256]},
        samples=1_000,
        steps=500,
        pooled=False,
        factors=("colour", "background"),
        steered=("colour",),
        held_out=256,
        trials=(24, 64),
        strengths=(1, 2, 4),
    ),
    shown=GivenBack(),
    towards=("colour", "red"),
    words=Words(
        lead="A model learned to squeeze small pictures into a few numbers and to give them back, as the VAE of a "
        "latent diffusion does.",
        place="the middle of its decoder",
        row="each of 8 by 8 cells of the picture",
        samples="pictures",
        truth="The pictures were drawn by a program, so it is known what lies under each cell.",
        judge="another model of the zoo, shapes-vit, says which colour and shape it sees.",
        pushed="at every cell",
        answers="pictures",
    ),
)
