"""Speech: a Whisper that writes down vowels."""

from anylens.demo.modality import Modality, Words
from anylens.demo.shown.transcript import Transcript
from anylens.tasks.recipe import Recipe

SPEECH = Modality(
    name="speech",
    title="Inside a small Whisper",
    recipe=Recipe(
        model="vowels-whisper",
        point="encoder.blocks.2.hook_resid_post",
        task="transcripts",
        width=32,
        settings={"k": 4, "widths": [10, 32]},
        samples=400,
        batch=512,
        steps=800,
        pooled=False,
        factors=("vowel",),
        steered=("vowel",),
        at={"pos": slice(6, 14)},  # 0.12 to 0.28 s, within the only vowel of each sound
        held_out=192,
        trials=(24, 64),
        strengths=(1.5, 2, 3, 6),
    ),
    shown=Transcript(),
    towards=("vowel", "a"),
    words=Words(
        lead="A model learned to write down the vowels in two seconds of sound, with Whisper's own architecture.",
        place="what leaves the third layer of its encoder",
        row="every 20 milliseconds of sound",
        samples="sounds",
        truth="The sounds were made by a program, so it is known which vowel each moment holds.",
        judge="the transcript says which vowel was heard.",
        pushed="from 0.12 to 0.28 seconds of each sound",
        answers="transcripts",
    ),
    examples=5,
)
