# %% [markdown]
# # What a GAN's layers decide
#
# *At which layer of a generator are shape and colour decided, and until where can one be changed without the other?*
#
# A generator grows a picture of a vector of numbers, stage by stage: 4 x 4 cells, 8 x 8, 16 x 16, and the picture
# itself. There is no way around a stage, so putting all of another picture's activations in at any stage gives that
# other picture. Put in *some channels* of it, though, and the question gets an answer: while colour and shape lie in
# different channels, one can be exchanged and the other kept; where they no longer do, they were decided before.

# %%
import dataclasses

import matplotlib.pyplot as plt
import torch

import anylens
from anylens.zoo.feeding import Samples, latents
from anylens.zoo.worlds.shapes import FACTORS, ShapesBatch

torch.manual_seed(0)
lens = anylens.load("zoo:shapes-gan")
judge = anylens.load("zoo:shapes-vit").model  # names the colour and shape of a picture, right in 99.9%
words = [name.split() for _, name in sorted(judge.config.id2label.items())]
colour_of = torch.tensor([FACTORS["colour"].index(colour) for colour, _ in words])
shape_of = torch.tensor([FACTORS["shape"].index(shape) for _, shape in words])


def seen(output):
    """The colour and the shape in each picture, as the judge sees them."""
    said = judge(pixel_values=output.picture).logits.argmax(-1)
    return torch.stack([colour_of[said], shape_of[said]])


torch.set_grad_enabled(False)
stages = ["hook_choices", "generator.stages.0.hook_post", "generator.stages.1.hook_post"]
stages += ["generator.stages.2.hook_post"]
for name in stages:
    print(f"{name:30s} {' '.join(lens.points[name].axes):30s} {list(lens.points[name].shape[1:])}")

# %% [markdown]
# ## Pairs
#
# Pairs of pictures, **mine** and **other**, that differ in colour and in shape and in nothing else: the latents of the
# zoo's GAN ask for what it draws. It does not always obey, so only pairs are kept in which the judge sees both as they
# were asked for; of shapes the GAN draws half as asked, of large ones more.

# %%
mine = [
    dataclasses.replace(scene, size="large", x=16.0, y=16.0)
    for scene in Samples("shapes-gan", 640, batch=640).truth(0).scenes
]


def changed(scenes, *factors):
    """The scenes with another value of some factors, the same for each scene whenever it is asked for."""
    made = []
    for number, scene in enumerate(scenes):
        values = {}
        for factor in factors:
            known = FACTORS[factor]
            values[factor] = known[(known.index(getattr(scene, factor)) + 1 + number % 5) % len(known)]
        made.append(dataclasses.replace(scene, **values))
    return made


def latents_of(scenes):
    return latents(ShapesBatch.of(scenes), seed=0)


def asked(scenes):
    factors = ShapesBatch.of(scenes).factors
    return torch.stack([factors["colour"], factors["shape"]])


other = changed(mine, "colour", "shape")
obeyed = (seen(lens.model(latents_of(mine))) == asked(mine)).all(0)
obeyed &= (seen(lens.model(latents_of(other))) == asked(other)).all(0)
kept = obeyed.nonzero().flatten()
print(f"{len(kept)} of {len(mine)} pairs are drawn as asked")
assert len(kept) > 40

# %% [markdown]
# ## Which channels are the colour's, which the shape's?
#
# Change the colour alone, then the shape alone, and see which channels move more. The pairs that tell are not those
# that are tested on.

# %%
fresh = mine[:200]
runs = {"as it is": latents_of(fresh)}
runs |= {factor: latents_of(changed(fresh, factor)) for factor in ("colour", "shape")}
caches = {name: lens.run_with_cache(latent, points=stages)[1] for name, latent in runs.items()}
moved, of_colour = {}, {}
for name in stages:
    own = caches["as it is"][name]
    over = [axis for axis in range(own.dim()) if axis != 1]
    moved[name] = [(caches[factor][name] - own).abs().mean(over) for factor in ("colour", "shape")]
    of_colour[name] = moved[name][0] > moved[name][1]
    print(f"{name:30s} {int(of_colour[name].sum()):3d} of {len(of_colour[name])} channels are the colour's")

# %%
titles = ["latent", "stage 0: 4 x 4", "stage 1: 8 x 8", "stage 2: 16 x 16"]
fig, panels = plt.subplots(1, 4, figsize=(11, 3))
for panel, name, title in zip(panels, stages, titles, strict=True):
    colour, shape = (one / one.mean() for one in moved[name])
    mark = of_colour[name]
    panel.scatter(shape[~mark].numpy(), colour[~mark].numpy(), s=12, color="tab:blue", label="the shape's")
    panel.scatter(shape[mark].numpy(), colour[mark].numpy(), s=12, color="tab:red", label="the colour's")
    panel.set_title(title)
    panel.set_xlabel("moved by another shape")
panels[0].set_ylabel("moved by another colour")
panels[0].legend(fontsize=8)
fig.suptitle(
    "Up to stage 1, few channels move with the colour, and only with it; at stage 2 none move with one alone"
)
fig.tight_layout()

# %% [markdown]
# ## Patch them
#
# Put the colour's channels of the other picture into mine, stage by stage. If colour and shape are apart there, the
# outcome has the other's colour and my shape. The control puts in as many channels at random.

# %%
given, source = latents_of([mine[n] for n in kept]), latents_of([other[n] for n in kept])
theirs = lens.run_with_cache(source, points=stages)[1]
my_colour, my_shape = asked([mine[n] for n in kept])
new_colour, new_shape = asked([other[n] for n in kept])


def put_in(name, channels):
    """The pictures with some channels of the other's at a stage in mine."""
    axis = "d_latent" if name == "hook_choices" else "channel"
    return lens.run_with_hooks(given, hooks={name: anylens.patch_from(theirs).on(**{axis: channels})})


table = {}
for name in stages:
    chosen = of_colour[name]
    at_random = chosen[torch.randperm(len(chosen))]
    for kind, channels in (("the colour's channels", chosen), ("as many at random", at_random)):
        colour, shape = seen(put_in(name, channels))
        table[name, kind] = [(colour == new_colour), (shape == my_shape), (shape == new_shape)]
        table[name, kind] = [share.float().mean().item() for share in table[name, kind]]
        print(f"{name:30s} {kind:22s} new colour {table[name, kind][0]:4.0%}, my shape {table[name, kind][1]:4.0%}, "
              f"the other's shape {table[name, kind][2]:4.0%}")  # fmt: skip

patched = {name: table[name, "the colour's channels"] for name in stages}
assert min(share[0] for share in patched.values()) > 0.9  # the colour comes along at every stage
assert patched["generator.stages.1.hook_post"][1] > 0.5  # up to stage 1 the shape stays mine as well,
assert patched["generator.stages.2.hook_post"][1] < 0.25  # and at stage 2 it no longer does:
assert patched["generator.stages.2.hook_post"][2] > 0.35  # it is rather the other's
assert max(table[name, "as many at random"][0] for name in stages[:3]) < 0.2

# %%
fig, axes = plt.subplots(figsize=(8, 3.4))
lines = {"new colour": ("tab:red", 0), "my shape": ("tab:blue", 1), "the other's shape": ("tab:cyan", 2)}
for line, (tint, place) in lines.items():
    axes.plot([patched[name][place] for name in stages], "o-", color=tint, label=line)
axes.plot(
    [table[name, "as many at random"][0] for name in stages],
    "o:",
    color="grey",
    label="new colour, channels at random",
)
axes.set_xticks(range(4), titles)
axes.set_xlabel("where the colour's channels of the other picture are put in")
axes.set_ylabel("share of pictures")
axes.set_title("Colour can be exchanged alone up to stage 1; at stage 2 it brings its shape along")
axes.legend(fontsize=8)
fig.tight_layout()

# %%
rows = [0, 1, 2, 3]
shown = [lens.model(given).picture, *(put_in(name, of_colour[name]).picture for name in stages)]
shown.append(lens.model(source).picture)
fig, panels = plt.subplots(len(rows), len(shown), figsize=(5.4, 4.0))
for row, panel_row in zip(rows, panels, strict=True):
    for pictures, panel in zip(shown, panel_row, strict=True):
        panel.imshow(pictures[row].permute(1, 2, 0) / 2 + 0.5)
        panel.set_xticks([])
        panel.set_yticks([])
for panel, title in zip(
    panels[0], ["mine", *(title.split(":")[0] for title in titles), "the other"], strict=True
):
    panel.set_title(title, fontsize=9)
fig.suptitle("Mine, with the colour's channels of the other put in at each stage", fontsize=11)
fig.tight_layout()

# %% [markdown]
# ## The answer
#
# The shape is drawn between stage 1 and stage 2. Up to there, colour lies in a few channels of its own, whatever is
# drawn; from 16 x 16 cells on, the channels that hold the colour hold it *where the object is*, and whoever moves them
# moves the object's outline. Random channels change no colour before that.
#
# ## With the hub's model
#
# `GAN` is anylens's own, so there is no hub id for it; a generator from anywhere else attaches as any module does. Its
# stages then have their native names, and what answers is a classifier of its pictures:
#
# ```python
# lens = anylens.attach(my_generator, example=torch.randn(4, 128))
# judge = anylens.load("google/vit-base-patch16-224").model  # takes 224 x 224 pictures, from -1 to 1
# stages = ["layers.0.hook_out", "layers.1.hook_out"]  # lens.points lists them
# ```
#
# From diffusers, the decoder of an autoencoder is grown in the same manner, from a latent it did not choose: see [a
# VAE's latent](vae_latent.ipynb).
