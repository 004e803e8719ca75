# %% [markdown]
# # Where a vision transformer keeps colour
#
# *In which layer does the colour of an object move from its patches to the class token, and can it be changed there?*
#
# The model, a `ViTForImageClassification` of six blocks, names the colour and the shape of the object in a picture of
# 32 x 32 pixels. It reads the picture as 8 x 8 patches and answers from a class token. We ask in three ways: by
# **patching** (what is enough to change the answer?), by **probes** (what can be read there?), and by **steering**
# (does writing it there change the answer, and nothing else?).

# %%
import dataclasses

import matplotlib.pyplot as plt
import torch

import anylens
from anylens.analysis.metrics import logit_difference
from anylens.analysis.patching import patching_sweep
from anylens.analysis.probes import Fitting, probe
from anylens.harvest import collect
from anylens.zoo.feeding import Samples
from anylens.zoo.worlds.shapes import FACTORS, ShapesBatch

torch.manual_seed(0)
lens = anylens.load("zoo:shapes-vit")
label = lens.model.config.label2id
layers = 6
print(lens.model.config.num_labels, "classes, such as", next(iter(label)))

# %% [markdown]
# ## Patching: what is enough to turn a blue answer red?
#
# Two pictures that differ in nothing but the colour. Run the model on the blue one, put in what the red one's run had
# at one position before one block, and see how far the answer goes from blue (0) to red (1).

# %%
scenes = [scene for scene in Samples("shapes-vit", 200, batch=200).truth(0).scenes if scene.size == "large"][
    :12
]


def pictures_of(scenes, colour):
    batch = ShapesBatch.of(dataclasses.replace(scene, colour=colour) for scene in scenes)
    return {"pixel_values": batch.pixel_values}


def towards_red(scene):
    return logit_difference(label[f"red {scene.shape}"], label[f"blue {scene.shape}"])


scene, points = scenes[0], "blocks.*.hook_resid_pre"
blue, red = pictures_of([scene], "blue"), pictures_of([scene], "red")
grid = patching_sweep(lens, blue, source=red, points=points, metric=towards_red(scene))
recovered = grid.recovered[0]  # layer, pos

# %%
fig, panels = plt.subplots(1, layers + 1, figsize=(11, 2.2), width_ratios=[1.0] * 7)
panels[0].imshow(red["pixel_values"][0].permute(1, 2, 0) / 2 + 0.5)
panels[0].set_title("the red picture", fontsize=9)
for layer, panel in enumerate(panels[1:]):
    panel.imshow(recovered[layer, 1:].reshape(8, 8), cmap="Reds", vmin=0, vmax=0.5)
    panel.set_title(f"before block {layer}\nclass token {recovered[layer, 0]:.0%}", fontsize=9)
for panel in panels:
    panel.set_xticks([])
    panel.set_yticks([])
fig.suptitle("One patch put in from the red run: early the object's patches matter, later the class token")
fig.tight_layout()

# %% [markdown]
# Over twelve scenes, with the positions put in together: the class token alone, all patches that the object touches,
# all patches of the background. The world knows which these are.

# %%
shares = []
for scene in scenes:
    touched = ShapesBatch.of([scene]).coverage(patch=4).flatten() > 0
    places = {"the class token": [0]}
    places["the object's patches"] = (touched.nonzero().flatten() + 1).tolist()
    places["the other patches"] = ((~touched).nonzero().flatten() + 1).tolist()
    inputs = {"source": pictures_of([scene], "red"), "points": points, "metric": towards_red(scene)}
    grid = patching_sweep(lens, pictures_of([scene], "blue"), over={"pos": list(places.values())}, **inputs)
    shares.append(grid.recovered[0])
share = torch.stack(shares).mean(0)  # layer, place

first, other = share[:, 0], share[:, 2]
assert first[0].abs() < 0.01 and share[0, 1] > 0.99  # before the first block all colour is in the object
assert first[-1] > 0.8 and share[-1, 1:].max() < 0.1  # before the last, in the class token
assert other[1] > 0.3  # on the way, patches without any object carry as much of it as those with

# %%
fig, axes = plt.subplots(figsize=(8, 3.4))
for place, way, colour in zip(places, share.T, ("tab:red", "tab:blue", "grey"), strict=True):
    axes.plot(way.numpy(), "o-", label=place, color=colour)
axes.set_xlabel("put in before block")
axes.set_ylabel("share of the answer turned red")
axes.set_title("Colour leaves the object for the whole picture, then gathers in the class token")
axes.legend()
fig.tight_layout()

# %% [markdown]
# ## Probes: what can be read?
#
# A linear probe for the colour at each of the three places, with its control, the same probe for shuffled labels.

# %%
pictures = Samples("shapes-vit", 256)
rows = collect(lens, pictures, points=points)
truth = [pictures.truth(number) for number in range(len(pictures))]
colour = torch.cat([batch.factors["colour"] for batch in truth])
coverage = torch.cat([batch.coverage(patch=4).flatten(1) for batch in truth])


def some(mask, count=4):
    """The colour at up to `count` random patches of a mask in each picture, -1 elsewhere: sample, pos."""
    chosen = torch.rand(mask.shape).masked_fill(~mask, -1).topk(count)
    labels = torch.full((len(mask), 65), -1)
    return labels.scatter(1, chosen.indices + 1, torch.where(chosen.values > 0, colour[:, None], -1))


at_class = torch.full((len(colour), 65), -1)
at_class[:, 0] = colour
labelled = dict(zip(places, (at_class, some(coverage > 0.5), some(coverage == 0)), strict=True))
tables = {place: probe(rows, labels, fitting=Fitting(folds=3)) for place, labels in labelled.items()}

# %%
fig, axes = plt.subplots(figsize=(8, 3.4))
for (place, table), tint in zip(tables.items(), ("tab:red", "tab:blue", "grey"), strict=True):
    axes.plot([found.score for found in table], "o-", label=place, color=tint)
    axes.plot([found.control for found in table], ":", color=tint)
axes.plot([], [], ":", color="black", label="controls")
axes.set_ylim(0, 1.05)
axes.set_xlabel("before block")
axes.set_ylabel("accuracy of the probe")
axes.set_title("From block 1 on, a probe reads the colour anywhere in the picture")
axes.legend()
fig.tight_layout()
scores = {place: [found.score for found in table] for place, table in tables.items()}
assert min(min(found[1:]) for found in scores.values()) > 0.85
assert max(found.control for table in tables.values() for found in table) < 0.3

# %% [markdown]
# Probes and patching disagree, and both are right: the colour can be *read* in every patch up to the end, but what is
# there late is no longer *used*. Only an edit tells the two apart.
#
# ## Steering: write another colour into the class token
#
# The mean class token of pictures with one colour less that of pictures with another is a direction. Add it, and see
# whether the answer has the new colour and still the old shape. Two ways to take the means: over all pictures of a
# colour (**shared**), or over those with the shape at hand (**own**). And a random vector of the same length.

# %%
many = Samples("shapes-vit", 1024, batch=256, seed=1)
rows = collect(lens, many, points=points, positions="first")
seen = {
    name: torch.cat([many.truth(n).factors[name] for n in range(len(many))]) for name in ("colour", "shape")
}
held = Samples("shapes-vit", 128, batch=128, split="held_out")
was, shape = held.truth(0).factors["colour"], held.truth(0).factors["shape"]
wanted = (was + torch.randint(1, 8, was.shape)) % 8  # another colour for each picture

words = [name.split() for _, name in sorted(lens.model.config.id2label.items())]
colour_of = torch.tensor([FACTORS["colour"].index(colour) for colour, _ in words])
shape_of = torch.tensor([FACTORS["shape"].index(shape) for _, shape in words])
turned = {"own": [], "shared": [], "random": []}
for point, found in rows.items():
    cells = [[(seen["colour"] == c) & (seen["shape"] == s) for s in range(6)] for c in range(8)]
    means = torch.stack([torch.stack([found.values[cell].mean(0) for cell in row]) for row in cells])
    ways = {"own": means[wanted, shape] - means[was, shape]}
    ways["shared"] = means.mean(1)[wanted] - means.mean(1)[was]
    ways["random"] = torch.nn.functional.normalize(torch.randn(128, 80)) * ways["own"].norm(
        dim=1, keepdim=True
    )
    for kind, way in ways.items():
        hooks = {point: anylens.add(way[:, None]).on(pos=0)}
        said = lens.run_with_hooks(held[0], hooks=hooks).logits.argmax(-1)
        both = (colour_of[said] == wanted) & (shape_of[said] == shape)
        turned[kind].append(both.float().mean().item())

assert turned["own"][-1] > 0.95 and turned["own"][1] < 0.3
assert max(turned["shared"]) < 0.3 and max(turned["random"]) < 0.05

# %%
fig, axes = plt.subplots(figsize=(8, 3.4))
kinds = {
    "own": "means over pictures of the same shape",
    "shared": "means over all shapes",
    "random": "random",
}
for (kind, name), tint in zip(kinds.items(), ("tab:red", "tab:orange", "grey"), strict=True):
    axes.plot(turned[kind], "o-", label=name, color=tint)
axes.set_xlabel("added to the class token before block")
axes.set_ylabel("new colour and old shape")
axes.set_title("Colour can be rewritten once it is there, and only together with its shape")
axes.legend()
fig.tight_layout()

# %% [markdown]
# ## The answer
#
# Block 0 spreads the colour from the object over all patches. Blocks 1 to 4 gather it in the class token, and before
# the last block it is there alone, as far as the answer goes. It is no colour by itself, though: the model, which has
# one class for each pair, keeps a *red star*, and a direction for "red" that knows nothing of the shape does little.
#
# ## With the hub's model
#
# A few lines change. Everything about points, patching, probes and steering stays; the two pictures should be alike
# but for the colour, and 197 positions make 14 x 14 patches.
#
# ```python
# lens = anylens.load("google/vit-base-patch16-224")  # ViTForImageClassification, with its ViTImageProcessor
# blue, red = (lens.processor(images=[picture], return_tensors="pt") for picture in (blue_picture, red_picture))
# names = lens.model.config.label2id
# metric = logit_difference(names["robin, American robin, Turdus migratorius"], names["jay"])
# ```
#
# `facebook/dinov2-small` has no classes, so ask how near the answer comes to the red picture's:
#
# ```python
# lens = anylens.load("facebook/dinov2-small")  # Dinov2Model; 224 x 224 make 16 x 16 patches of 14
# blue, red = (lens.processor(images=[picture], return_tensors="pt") for picture in (blue_picture, red_picture))
# metric = distance(lens.model(**blue)) - distance(lens.model(**red))  # both of analysis.metrics
# ```
