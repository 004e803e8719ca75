"""The code that the page of `anylens demo speech` shows; `python speech.py` runs it."""
# mypy: ignore-errors

# %% features: learn what Whisper hears by, find the feature of a vowel, and make the model hear it
import anylens
from anylens.features import survey
from anylens.harvest import Batches, InMemory, collect
from anylens.sae import Settings, make, train
from anylens.zoo.feeding import Samples

lens, point = anylens.load("zoo:vowels-whisper"), "encoder.blocks.2.hook_resid_post"
sounds = Samples("vowels-whisper", 400, seed=1)
held_out = Samples("vowels-whisper", 64, seed=5, split="held_out")
rows = collect(lens, sounds, points=point)[point].values  # of every 20 ms
sae = make("matryoshka", 64, 32, k=4, widths=[10, 32])
train(sae, Batches(InMemory(rows), 512, epochs=None), Settings(steps=800, lr=5e-3))
known = survey(lens, sae, held_out, point=point)
finds = [one for one in known.values() if str(one.factor) == "vowel: a"]
best = max(finds, key=lambda one: one.factor.auroc)
hooks = {point: anylens.steer(sae.feature(best.number), 2 * best.top).on(pos=slice(6, 14))}
for edits in ({}, hooks):
    with lens.hooks(edits):
        tokens = lens.model.generate(held_out[0]["input_features"][:8])
    print(lens.processor.batch_decode(tokens, skip_special_tokens=True))
