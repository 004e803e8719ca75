"""VAE: an autoencoder of pictures, as latent diffusion uses them."""

from anylens.demo.modality import Modality, Words
from anylens.demo.shown.pictures import GivenBack
from anylens.tasks.recipe import Recipe

VAE = Modality(
    name="vae",
    title="Inside a small VAE",
    recipe=Recipe(
        model="shapes-vae",
        point="decoder.up_blocks.1.hook_out",
        task="reconstructions",
        variant="topk",
        width=96,
        settings={"k": 4},
        samples=300,
        steps=500,
        factors=("colour", "background"),
        steered=("colour",),
        held_out=192,
        trials=(24, 64),
        strengths=(1, 2, 4, 8),
    ),
    shown=GivenBack(),
    towards=("colour", "cyan"),
    words=Words(
        lead="A model learned to squeeze small pictures into a few numbers and to give them back, as the VAE of a "
        "latent diffusion does.",
        place="the second of its decoder's three stages",
        row="each pixel of the picture",
        samples="pictures",
        truth="The pictures were drawn by a program, so it is known what each shows, and where.",
        judge="another model of the zoo, shapes-vit, says which colour and shape it sees.",
        pushed="at the pixels of the object",
        answers="pictures",
    ),
)
