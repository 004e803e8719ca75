"""Music: a MusicGen that plays melodies to captions."""

from anylens.demo.modality import Modality, Words
from anylens.demo.shown.melody import Melody
from anylens.tasks.recipe import Recipe

MUSIC = Modality(
    name="music",
    title="Inside a small MusicGen",
    recipe=Recipe(
        model="melodies-musicgen",
        point="decoder.blocks.1.hook_cross_attn_out",
        task="melodies",
        width=32,
        settings={"k": 4, "widths": [12, 32]},
        samples=256,
        steps=500,
        factors=("instrument", "direction", "tempo", "scale"),
        steered=("instrument",),
        held_out=192,
        trials=(16, 32),
        strengths=(4, 8),
    ),
    shown=Melody(),
    towards=("instrument", "organ"),
    words=Words(
        lead="A model learned to play two seconds of melody to a caption, with MusicGen's own architecture: its "
        "decoder writes codes, which become sound.",
        place="what the second layer of its decoder reads from the caption",
        row="every 25 milliseconds of the melody",
        samples="melodies",
        truth="The melodies were made by a program, so it is known what each is, and which instrument plays it.",
        judge="a small classifier that was trained on true melodies says which instrument plays. The other factor is "
        "the scale, by the pitch of each note.",
        pushed="at every moment of the melody",
        answers="melodies",
    ),
    examples=4,
)
