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
sae = make("topk", rows.shape[1], 96, k=4)
train(sae, Batches(InMemory(rows), 1024, epochs=None), Settings(steps=500, lr=5e-3))
acts = sae.encode(collect(lens, held_out, points=point)[point].values).detach()  # [pixel, feature]
acts = acts.unflatten(0, (96, -1)).amax(1)  # [picture, feature]
truth = held_out.truth(0)
best = auroc(acts, truth.factors["colour"] == FACTORS["colour"].index("cyan")).argmax()
cyan = anylens.steer(sae.feature(int(best)), 2 * float(acts[:, best].max()))
there = truth.positions(patch=1)["colour"] >= 0  # the pixels of the objects
hooks = {point: cyan.within(there, "batch", "height", "width")}
before, after = lens.model(**held_out[0]).sample, lens.run_with_hooks(held_out[0], hooks=hooks).sample
print((after - before).movedim(1, -1)[there].mean(0))  # how much redder, greener, bluer
