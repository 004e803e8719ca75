"""The code that the page of `anylens demo vision` shows; `python vision.py` runs it."""
# mypy: ignore-errors

# %% features: learn what the model names pictures by, find the feature of a colour, and turn pictures to it
import anylens
from anylens.features import survey
from anylens.harvest import Batches, InMemory, collect
from anylens.sae import Settings, make, train
from anylens.zoo.feeding import Samples

lens, point = anylens.load("zoo:shapes-vit"), "blocks.4.hook_resid_post"
pictures = Samples("shapes-vit", 1500, seed=1)
held_out = Samples("shapes-vit", 384, seed=5, split="held_out")
rows = collect(lens, pictures, points=point)[point].values  # of every patch and the class token
sae = make("matryoshka", 80, 128, k=8, widths=[24, 128])
train(sae, Batches(InMemory(rows), 1024, epochs=None), Settings(steps=500, lr=5e-3))
known = survey(lens, sae, held_out, point=point)
finds = [one for one in known.values() if str(one.factor) == "the picture's colour: orange"]
best = max(finds, key=lambda one: one.factor.auroc)
hooks = {point: anylens.steer(sae.feature(best.number), 2 * best.top)}
for answer in (lens.model(**held_out[0]), lens.run_with_hooks(held_out[0], hooks=hooks)):
    print([lens.model.config.id2label[label] for label in answer.logits.argmax(-1).tolist()])
