# %% [markdown]
# # Train a sparse autoencoder at scale
#
# *Does a training that was cut off twice, while it harvested and while it trained, end with the same autoencoder, bit
# for bit? And is that autoencoder any good?*
#
# Large trainings run for days, on machines that go away. Here is the whole way in small, on what the zoo's vision
# transformer has in its class token: rows to disk, cut off, resumed; trained, cut off, resumed; measured against the
# truth; written in SAELens's format. The calls are those of the large way.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import anylens
from anylens.harvest import Batches
from anylens.sae import Settings, load, make, save, train
from anylens.sae.metrics import quality, recovered
from anylens.sae.truth import find_factors
from anylens.zoo.feeding import Samples

lens, point = anylens.load("zoo:shapes-vit"), "blocks.5.hook_resid_post"
pictures = Samples("shapes-vit", 2048)  # in batches of 32, made when they are asked for

# %% [markdown]
# ## Harvest, and be cut off
#
# `harvest` runs the model over the data once and writes what it has at some points to a folder: shards with checksums,
# and a manifest that says what is done. Our data breaks off in the middle, as a machine does.


# %%
class Fragile:
    """Inputs that break off."""

    def __init__(self, data, *, after):
        self.data, self.after = data, after

    def __len__(self):
        return len(self.data)

    def __iter__(self):
        for number, one in enumerate(self.data):
            if number == self.after:
                raise KeyboardInterrupt
            yield one


how = {"points": point, "positions": "first", "shard_bytes": 100_000}
try:
    anylens.harvest(lens, Fragile(pictures, after=40), to="rows", **how)
except KeyboardInterrupt:
    print("cut off, with", len(list(Path("rows").glob("*.safetensors"))), "shards on disk")

# %% [markdown]
# The same call again goes on where it was. No row is lost and none doubled, which we check against a harvest in one go.
# Each row knows its sample and position.

# %%
rows = anylens.harvest(lens, pictures, to="rows", **how).column(point)
whole = anylens.harvest(lens, pictures, to="rows in one go", **how).column(point)
for block, size in enumerate(rows.sizes):
    one, other = rows.read(block, 0, size), whole.read(block, 0, size)
    assert torch.equal(one.values, other.values)
    assert torch.equal(one.sample, other.sample)
    assert torch.equal(one.where, other.where)
print(f"{sum(rows.sizes):,} rows of {rows.width} numbers, from {len(rows.sizes)} shards")
assert sum(rows.sizes) == 2048

# %% [markdown]
# ## Train, and be cut off
#
# `Batches` reads the shards in a seeded order and mixes their rows. With a folder the training keeps a checkpoint there
# every `save_every` steps: weights, the optimiser, and the place in the data.

# %%
settings = Settings(steps=600, lr=5e-3, save_every=100, log_every=10, dead_after=5_000)


class FragileBatches(Batches):
    """Batches that break off in the middle of step 251."""

    def __iter__(self):
        for number, batch in enumerate(super().__iter__()):
            if number == 250:
                raise KeyboardInterrupt
            yield batch


def fresh():
    return make("matryoshka", rows.width, 64, k=6, widths=[14, 64])


def batches(kind=Batches):
    return kind(rows, 256, epochs=None)


try:
    train(fresh(), batches(FragileBatches), settings, folder="cut off")
except KeyboardInterrupt:
    print("cut off; on disk:", *sorted(path.name for path in Path("cut off").iterdir()))
steps_before = [json.loads(line)["step"] for line in Path("cut off/log.jsonl").read_text().splitlines()]

sae = train(fresh(), batches(), settings, folder="cut off")  # the same call: from step 200 on
reference = train(fresh(), batches(), settings, folder="in one go")
for (name, one), other in zip(sae.state_dict().items(), reference.state_dict().values(), strict=True):
    assert torch.equal(one, other), name
print("the same weights, bit for bit, as in one go")

# %%
logs = {
    name: [json.loads(line) for line in Path(name, "log.jsonl").read_text().splitlines()]
    for name in ("in one go", "cut off")
}
fig, axes = plt.subplots(figsize=(8, 3))
for (name, log), style in zip(logs.items(), ("-", "."), strict=True):
    axes.plot([line["step"] for line in log], [line["fvu"] for line in log], style, label=name, markersize=7)
axes.axvline(250, color="tab:red", linewidth=1, label="cut off here")
axes.axvline(200, color="tab:green", linewidth=1, label="resumed from here")
axes.set_yscale("log")
axes.set_xlabel("step")
axes.set_ylabel("variance not explained")
axes.set_title("Cut off and resumed, the training goes the way that it would have gone")
axes.legend()
fig.tight_layout()

# %% [markdown]
# ## Is it any good?
#
# On pictures that nobody was trained on. *FVU* is the share of variance that it does not explain. *Recovered* is how
# much of what the point does for the model's answers the reconstruction keeps. And do single features find what the
# world knows to be in a picture? Each feature is chosen in one half of the pictures and scored in the other; the
# control has its labels shuffled.

# %%
unseen = Samples("shapes-vit", 512, split="held_out")
held = anylens.harvest(lens, unseen, to="held out", points=point, positions="first").column(point)
measured = quality(sae, Batches(held, 256))
print(measured)

names = lens.model.config.label2id
labelled = []
for number, given in enumerate(unseen):
    called = [names[f"{scene.colour} {scene.shape}"] for scene in unseen.truth(number).scenes]
    labelled.append({**given, "labels": torch.tensor(called)})
kept = recovered(lens, point, sae, labelled, lambda output, given: output.loss)
print(
    f"loss {kept.clean:.4f}; with the reconstruction {kept.spliced:.4f}; without the point {kept.ablated:.2f}"
)
assert measured.fvu < 0.2
assert kept.share > 0.9

# %%
seen = torch.cat([held.read(block, 0, size).values for block, size in enumerate(held.sizes)])
with torch.no_grad():
    acts = sae.encode(seen)
truth = [unseen.truth(number).factors for number in range(len(unseen))]
labels = {factor: torch.cat([one[factor] for one in truth]) for factor in ("colour", "shape")}
found = find_factors(acts, labels, torch.arange(len(seen)))
values = [unseen.values[one.factor][one.value] for one in found]
single = [value for value, one in zip(values, found, strict=True) if one.auroc > 0.95]
print(f"found by a single feature, with an AUROC over 0.95: {', '.join(single)}")
assert len(single) >= 5
assert max(one.control for one in found) < 0.7

# %%
fig, axes = plt.subplots(figsize=(8, 3))
axes.bar(range(14), [one.auroc for one in found], color="tab:blue")
axes.scatter(range(14), [one.control for one in found], color="black", zorder=2, label="labels shuffled")
axes.set_xticks(range(14), values, rotation=30)
axes.set_ylabel("AUROC of the best feature")
axes.set_ylim(0.4, 1.2)
axes.set_title(f"Of 14 colours and shapes, {len(single)} have a feature of their own")
axes.legend()
fig.tight_layout()

# %% [markdown]
# ## In SAELens's format
#
# The folder holds `cfg.json` and `sae_weights.safetensors`, as SAELens writes and reads them.

# %%
save(sae, "sae", metadata={"point": point, "model": "zoo:shapes-vit"})
config = json.loads(Path("sae/cfg.json").read_text())
print(*sorted(path.name for path in Path("sae").iterdir()))
print({name: config[name] for name in ("architecture", "d_in", "d_sae", "k")})
again = load("sae")
with torch.no_grad():
    assert torch.allclose(again(seen), sae(seen), atol=1e-5)

# %% [markdown]
# `anylens.load_sae("sae")` reads it too, and `lens.splice({point: sae})` makes its features points of the model. To see
# them all on their pictures: `anylens report zoo:shapes-vit --sae sae --out features`.
#
# ## At scale
#
# With a model from the hub and pictures or texts of your own, two lines change:
#
# ```python
# lens, point = anylens.load("google/vit-base-patch16-224"), "blocks.9.hook_resid_post"
# pictures = DataLoader(my_pictures, batch_size=64)  # whatever gives {"pixel_values": ...}
# ```
#
# The same work on the command line, each of which goes on where it was when it is called again:
#
# ```bash
# anylens harvest google/vit-base-patch16-224 --points blocks.9.hook_resid_post --data my_data:inputs --to rows
# anylens sae train rows --to sae --latents 16384 --k 32 --steps 50000
# anylens sae train rows --to sae --latents 16384 --k 32 --steps 50000 --ranks 8  # eight processes of one computer
# torchrun --nnodes 2 --nproc-per-node 8 my_training.py  # on two computers: a script with `train` as above
# ```
#
# A harvest runs on Ray too, and fills the same store: `anylens.harvest(..., engine="ray")`.
#
# With `--parallel dictionary` the processes share out the latents instead of the rows, for a dictionary that one device
# does not hold. To keep no rows on disk, `Batches(Live(lens, data, point=point), 4096, epochs=None)` runs the model
# whenever rows are wanted.
