"""The code that the page of `anylens demo state-space` shows; `python state-space.py` runs it."""
# mypy: ignore-errors

# %% features: learn what the model goes on with sentences by, and make it expect another verb
import anylens
from anylens.features import survey
from anylens.harvest import Batches, InMemory, collect
from anylens.sae import Settings, make, train
from anylens.zoo.feeding import Samples

lens, point = anylens.load("zoo:grammar-mamba"), "blocks.0.hook_resid_post"
sentences = Samples("grammar-mamba", 3000, seed=1)
held_out = Samples("grammar-mamba", 512, seed=5, split="held_out")
rows = collect(lens, sentences, points=point, positions="attended")[point].values  # of every word
sae = make("matryoshka", rows.shape[1], 256, k=10, widths=[32, 256])
train(sae, Batches(InMemory(rows), 1024, epochs=None), Settings(steps=500, lr=5e-3))
known = survey(lens, sae, held_out, point=point, positions="attended")
finds = [one for one in known.values() if str(one.factor) == "the sentence's tense: past"]
best = max(finds, key=lambda one: one.factor.auroc)
begin = lens.processor("<s> every old king", return_tensors="pt")["input_ids"]
hooks = {point: anylens.steer(sae.feature(best.number), 3 * best.top).on(pos=-1)}
for answer in (lens.model(begin), lens.run_with_hooks(begin, hooks=hooks)):
    print(lens.processor.convert_ids_to_tokens(answer.logits[0, -1].topk(5).indices.tolist()))
