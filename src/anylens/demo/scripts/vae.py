"""The code that the page of `anylens demo vae` shows; `python vae.py` runs it."""
# mypy: ignore-errors

# %% features: learn what the decoder draws by, find the feature of a colour, and give pictures back in it
import anylens
from anylens.features import survey
from anylens.harvest import Batches, InMemory, collect
from anylens.sae import Settings, make, train
from anylens.zoo.feeding import Samples

lens, point = anylens.load("zoo:shapes-vae"), "decoder.mid_block.hook_out"
pictures = Samples("shapes-vae", 1000, seed=1)
held_out = Samples("shapes-vae", 256, seed=5, split="held_out")
rows = collect(lens, pictures, points=point)[point].values  # of every cell
sae = make("matryoshka", rows.shape[1], 256, k=12, widths=[32, 256])
train(sae, Batches(InMemory(rows), 1024, epochs=None), Settings(steps=500, lr=5e-3))
known = survey(lens, sae, held_out, point=point)
finds = [one for one in known.values() if str(one.factor) == "colour: red"]
best = max(finds, key=lambda one: one.factor.auroc)
hooks = {point: anylens.steer(sae.feature(best.number), 2 * best.top)}
before, after = lens.model(**held_out[0]).sample, lens.run_with_hooks(held_out[0], hooks=hooks).sample
print((after - before).mean((0, 2, 3)))  # how much redder, greener, bluer
