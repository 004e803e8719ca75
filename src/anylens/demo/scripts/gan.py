"""The code that the page of `anylens demo gan` shows; `python gan.py` runs it."""
# mypy: ignore-errors

# %% features: learn what the generator draws by, find the feature of a colour, and draw in it
import torch

import anylens
from anylens.harvest import Batches, InMemory, collect
from anylens.sae import Settings, make, train
from anylens.sae.truth import auroc
from anylens.zoo.feeding import Samples
from anylens.zoo.measure.judge import judged

lens, point = anylens.load("zoo:shapes-gan"), "generator.stages.2.hook_post"
latents, held_out = Samples("shapes-gan", 1000, seed=1), Samples("shapes-gan", 384, batch=384, seed=5)
rows = collect(lens, latents, points=point)[point].values  # of every cell
sae = make("topk", rows.shape[1], 96, k=5)
train(sae, Batches(InMemory(rows), 1024, epochs=None), Settings(steps=500, lr=5e-3))
cells = collect(lens, held_out, points=point)[point]
acts = sae.encode(cells.values).detach().reshape(384, -1, 96).amax(1)  # the largest of each picture
colours = judged(lens.model(**held_out[0]).picture / 2 + 0.5).colours
best = auroc(acts, torch.tensor([colour == "white" for colour in colours])).argmax()
hooks = {point: anylens.steer(sae.feature(int(best)), 2 * float(acts[:, best].max()))}
after = lens.run_with_hooks(held_out[0], hooks=hooks).picture
print(colours[:8], judged(after / 2 + 0.5).colours[:8])
