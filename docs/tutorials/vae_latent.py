# %% [markdown]
# # A VAE's latent
#
# *What do the mean and the log-variance of each latent channel hold, and can one thing in a picture be changed there?*
#
# A variational autoencoder makes of a 32 x 32 picture a distribution over latents of 4 channels and 8 x 8 cells: a
# mean and a log-variance for each number. The decoder makes the picture of them again. Both are points of the lens.

# %%
import dataclasses

import matplotlib.pyplot as plt
import torch

import anylens
from anylens.analysis.metrics import distance
from anylens.analysis.patching import patching_sweep
from anylens.zoo.feeding import Samples
from anylens.zoo.worlds.shapes import FACTORS, ShapesBatch

torch.manual_seed(0)
torch.set_grad_enabled(False)
lens = anylens.load("zoo:shapes-vae")
judge = anylens.load("zoo:shapes-vit").model  # names the colour and shape of a picture, right in 99.9%
mean, log_var = "latent.hook_mean", "latent.hook_log_var"
pictures = Samples("shapes-vae", 128, batch=128)
given, truth = pictures[0], pictures.truth(0)
out, cache = lens.run_with_cache(given, points=[mean, log_var])
spread = (cache[log_var] / 2).exp()  # the standard deviation of each number
for channel in range(4):
    print(
        f"channel {channel}: means vary by {cache[mean][:, channel].std():.2f}, each is sure to "
        f"{spread[:, channel].mean():.2f}"
    )

# %% [markdown]
# Channel 1 is as unsure as noise (the training pulls every number towards a mean of 0 and a deviation of 1), so it
# says next to nothing. And the others are not sure everywhere alike:

# %%
covered = truth.coverage(patch=4)
on_object, on_background = covered > 0.5, covered == 0
sure = {
    "object": spread.movedim(1, -1)[on_object].mean(0),
    "background": spread.movedim(1, -1)[on_background].mean(0),
}
used = [0, 2, 3]
assert (sure["object"][used] < 0.6 * sure["background"][used]).all()
assert sure["background"][1] > 0.9

example = next(number for number, scene in enumerate(truth.scenes) if scene.size == "large")
fig, panels = plt.subplots(2, 5, figsize=(9, 3.8))
panels[0, 0].imshow(truth.pixels[example].permute(1, 2, 0))
panels[0, 0].set_title("picture", fontsize=9)
panels[1, 0].imshow((out.sample[example] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0))
panels[1, 0].set_title("decoded again", fontsize=9)
for channel in range(4):
    panels[0, channel + 1].imshow(cache[mean][example, channel], cmap="RdBu", vmin=-2.5, vmax=2.5)
    panels[0, channel + 1].set_title(f"mean, channel {channel}", fontsize=9)
    panels[1, channel + 1].imshow(spread[example, channel], cmap="viridis", vmin=0, vmax=1)
    panels[1, channel + 1].set_title(f"deviation, channel {channel}", fontsize=9)
for panel in panels.flat:
    panel.set_xticks([])
    panel.set_yticks([])
fig.suptitle(
    "Dark: the latent is exact where the object is, and vague on the background; channel 1 says nothing"
)
fig.tight_layout()

# %% [markdown]
# ## Is that what the log-variance is for?
#
# If it says how exact a number must be, noise of that size should do no harm, and noise of the same sizes at other
# places should.

# %%
noise = torch.randn_like(spread)
elsewhere = spread.flatten(1)[:, torch.randperm(256)].view_as(spread)
harm = {}
for name, size in {"as the model says": spread, "the same, shuffled": elsewhere}.items():
    noisy = lens.run_with_hooks(given, hooks={mean: anylens.add(noise * size)}).sample
    harm[name] = (noisy - out.sample).square().mean().item()
print({name: round(error, 5) for name, error in harm.items()})
assert harm["the same, shuffled"] > 10 * harm["as the model says"]

# %% [markdown]
# ## Which channel holds what?
#
# Change one thing in every picture, and put the new picture's mean into the old one's run, one channel at a time. How
# far does the decoded picture come towards the new one?


# %%
def changed(factor):
    """The pictures with another value of one factor."""
    scenes = []
    for number, scene in enumerate(truth.scenes):
        known = FACTORS[factor]
        value = known[(known.index(getattr(scene, factor)) + 1 + number % (len(known) - 1)) % len(known)]
        scenes.append(dataclasses.replace(scene, **{factor: value}))
    return ShapesBatch.of(scenes)


channels = [0, 1, 2, 3, (0, 2, 3)]
recovered = {}
for factor in ("colour", "shape", "background"):
    source = {"sample": changed(factor).pixel_values}
    metric = distance(lens.model(**source))
    inputs = {"source": source, "points": mean, "metric": metric}
    grid = patching_sweep(
        lens, given, over={"channel": [list(c) if isinstance(c, tuple) else c for c in channels]}, **inputs
    )
    recovered[factor] = grid.recovered.nanmean(0).flatten()
    print(factor, [round(share, 2) for share in recovered[factor].tolist()])
    assert recovered[factor][1].abs() < 0.1  # channel 1 does nothing,
    assert recovered[factor][4] > 0.8  # the other three together all

# %%
fig, axes = plt.subplots(figsize=(8, 3.2))
for place, (factor, tint) in enumerate(zip(recovered, ("tab:red", "tab:blue", "tab:grey"), strict=True)):
    at = [channel + (place - 1) * 0.25 for channel in range(5)]
    axes.bar(at, recovered[factor].numpy(), 0.24, color=tint, label=factor)
axes.axhline(0, color="black", linewidth=0.8)
axes.set_xticks(range(5), ["0", "1", "2", "3", "0, 2 and 3"])
axes.set_xlabel("channels put in from the picture with another ...")
axes.set_ylabel("share of the way there")
axes.set_title("No channel is the colour's or the shape's: they hold everything together")
axes.legend(loc="upper left")
fig.tight_layout()

# %% [markdown]
# ## Change the colour of the object, and nothing else
#
# Not a channel, then, but cells: put the recoloured picture's mean in where the object is, and leave the other cells
# alone. The control puts in as many cells of the background.

# %%
words = [name.split() for _, name in sorted(judge.config.id2label.items())]
colour_of = torch.tensor([FACTORS["colour"].index(colour) for colour, _ in words])
shape_of = torch.tensor([FACTORS["shape"].index(shape) for _, shape in words])
recoloured = changed("colour")
theirs = lens.run_with_cache(sample=recoloured.pixel_values, points=mean)[1][mean]


def put_in(cells):
    """The pictures decoded with the recoloured ones' mean in some cells: a mask [batch, height, width]."""
    return lens.run_with_hooks(
        given, hooks={mean: lambda value, at: torch.where(cells[:, None], theirs, value)}
    ).sample


def said(samples):
    labels = judge(pixel_values=samples).logits.argmax(-1)
    return colour_of[labels], shape_of[labels]


object_cells = covered > 0
edited = put_in(object_cells)
colour, shape = said(edited)
new_colour = (colour == recoloured.factors["colour"]).float().mean().item()
old_shape = (shape == truth.factors["shape"]).float().mean().item()
control, _ = said(put_in(~object_cells))
in_control = (control == recoloured.factors["colour"]).float().mean().item()
far = torch.nn.functional.interpolate(covered[:, None], scale_factor=4)[:, 0] == 0
moved = (edited - out.sample).abs().mean(1)
print(f"new colour {new_colour:.0%}, old shape {old_shape:.0%}; in the control, new colour {in_control:.0%}")
print(f"pixels of the object move by {moved[~far].mean():.3f}, of the background by {moved[far].mean():.3f}")
assert new_colour > 0.9 and old_shape > 0.85 and in_control < 0.1
assert moved[far].mean() < 0.1 * moved[~far].mean()

# %%
rows = [example, example + 1, example + 2]
columns = {"decoded": out.sample, "object's cells": edited, "other cells": put_in(~object_cells)}
columns["the new picture"] = recoloured.pixel_values
fig, panels = plt.subplots(3, 4, figsize=(5, 4))
for panel_row, row in zip(panels, rows, strict=True):
    for panel, samples in zip(panel_row, columns.values(), strict=True):
        panel.imshow((samples[row] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0))
        panel.set_xticks([])
        panel.set_yticks([])
for panel, name in zip(panels[0], columns, strict=True):
    panel.set_title(name, fontsize=8)
fig.suptitle("Cells put in from the recoloured picture: the object's carry it all", fontsize=10)
fig.tight_layout()

# %% [markdown]
# ## Traverse
#
# What does a channel do to the decoded picture? Add the same amount to it in every cell, from -2 to 2 standard
# deviations of its mean over pictures.

# %%
one = {"sample": given["sample"][example : example + 1]}
amounts = [-2.0, -1.0, 0.0, 1.0, 2.0]
fig, panels = plt.subplots(4, 5, figsize=(5.4, 4.6))
for channel in range(4):
    size = cache[mean][:, channel].std()
    for panel, amount in zip(panels[channel], amounts, strict=True):
        hook = anylens.add(amount * size).on(channel=channel)
        decoded = lens.run_with_hooks(one, hooks={mean: hook}).sample
        panel.imshow((decoded[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0))
        panel.set_xticks([])
        panel.set_yticks([])
    panels[channel, 0].set_ylabel(f"channel {channel}", fontsize=8)
for panel, amount in zip(panels[0], amounts, strict=True):
    panel.set_title(f"{amount:+.0f} dev.", fontsize=8)
fig.suptitle("0 and 3 change colours and background, 1 and 2 by themselves next to nothing", fontsize=10)
fig.tight_layout()

# %% [markdown]
# ## The answer
#
# The mean holds the picture *by place*: a cell's three working numbers hold what is in those 4 x 4 pixels, all factors
# mixed. The log-variance holds how exact they must be, and that is where the object is. One channel was given up.
#
# ## With the hub's model
#
# Three lines change; the pictures are RGB between -1 and 1, their sides multiples of 8, and a cell is 8 x 8 pixels.
#
# ```python
# lens = anylens.load("stabilityai/sd-vae-ft-mse")  # AutoencoderKL, 4 channels
# given = {"sample": my_pictures}  # [batch, 3, 256, 256]
# out, cache = lens.run_with_cache(given, points=[mean, log_var])
# ```
