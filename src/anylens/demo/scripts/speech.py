"""The code that the page of `anylens demo speech` shows; `python speech.py` runs it."""
# mypy: ignore-errors

# %% features: learn what Whisper hears by, find the feature of a vowel, and make the model hear it
import anylens
from anylens.features import survey
from anylens.harvest import Batches
from anylens.sae import Settings, make, train
from anylens.zoo.feeding import Samples

lens, point = anylens.load("zoo:vowels-whisper"), "encoder.blocks.2.hook_resid_post"
rows = anylens.harvest(lens, Samples("vowels-whisper", 400, seed=1), points=point, to="speech-rows")
sae = make("matryoshka", 64, 32, k=4, widths=[10, 32])
train(sae, Batches(rows.column(point), 512, epochs=None), Settings(steps=800, lr=5e-3))
known = survey(lens, sae, Samples("vowels-whisper", 64, split="held_out"), point=point)
best = max(known.values(), key=lambda one: one.factor.auroc if str(one.factor) == "vowel: a" else 0)
sound = Samples("vowels-whisper", 8, seed=3, split="held_out")[0]
with lens.hooks({point: anylens.steer(sae.feature(best.number), 2 * best.top).on(pos=slice(6, 14))}):
    tokens = lens.model.generate(sound["input_features"])
print(best.number, lens.processor.batch_decode(tokens, skip_special_tokens=True))
