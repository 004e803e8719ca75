"""The code that the page of `anylens demo music` shows; `python music.py` runs it."""
# mypy: ignore-errors

# %% features: learn what MusicGen reads from captions, find the feature of an instrument, and make the model play it
from pathlib import Path

import torch

import anylens
from anylens.features import survey
from anylens.features.media import wav
from anylens.harvest import Batches, InMemory, collect
from anylens.sae import Settings, make, train
from anylens.zoo.feeding import Samples

lens, point = anylens.load("zoo:melodies-musicgen"), "decoder.blocks.1.hook_cross_attn_out"
melodies = Samples("melodies-musicgen", 256, seed=1)
held_out = Samples("melodies-musicgen", 64, seed=5, split="held_out")
rows = collect(lens, melodies, points=point)[point].values  # of every 25 ms
sae = make("matryoshka", 128, 32, k=4, widths=[12, 32])
train(sae, Batches(InMemory(rows), 1024, epochs=None), Settings(steps=500, lr=5e-3))
known = survey(lens, sae, held_out, point=point)
finds = [one for one in known.values() if str(one.factor).endswith("instrument: organ")]
best = max(finds, key=lambda one: one.factor.auroc)
asked = lens.processor.tokenizer(["flute, minor, slow, up"], return_tensors="pt")
hooks = {point: anylens.steer(sae.feature(best.number), 8 * best.top)}
for name, edits in (("flute", {}), ("organ", hooks)):
    with lens.hooks(edits), torch.no_grad():
        sound = lens.model.generate(**asked)[0, 0]
    Path(f"{name}.wav").write_bytes(wav(sound, 4000).content)
print("written: flute.wav, organ.wav")
