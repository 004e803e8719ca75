"""The code that the page of `anylens demo vae` shows; `python vae.py` runs it."""
# mypy: ignore-errors

# %% features: learn what the decoder draws by, find the feature of a colour, and give pictures back in it
import anylens
from anylens.harvest import Batches, InMemory, collect
from anylens.sae import Settings, make, train
from anylens.sae.truth import auroc
from anylens.zoo.feeding import Samples
from anylens.zoo.worlds.shapes import FACTORS

lens, point = anylens.load("zoo:shapes-vae"), "decoder.up_blocks.1.hook_out"
pictures = Samples("shapes-vae", 300, seed=1)
held_out = Samples("shapes-vae", 96, batch=96, seed=5, split="held_out")
rows = collect(lens, pictures, points=point)[point].values  # of every pixel
sae = make("topk", rows.shape[1], 64, k=3)
train(sae, Batches(InMemory(rows), 1024, epochs=None), Settings(steps=500, lr=5e-3))
acts = sae.encode(collect(lens, held_out, points=point)[point].values).detach()
colours = held_out.truth(0).positions(patch=1)["colour"].flatten()  # below 0 where there is no object
cyan, there = FACTORS["colour"].index("cyan"), colours >= 0
best = auroc(acts[there], colours[there] == cyan).argmax()
hooks = {point: anylens.steer(sae.feature(int(best)), float(acts[:, best].max()))}
before, after = lens.model(**held_out[0]).sample, lens.run_with_hooks(held_out[0], hooks=hooks).sample
print((after - before).mean((0, 2, 3)))  # how much redder, greener, bluer
