# %% [markdown]
# # When a diffusion model decides what it draws
#
# *At which step of the denoising is a shape decided, at which a colour, and which steps can still change them?*
#
# A Stable Diffusion pipeline starts from noise and removes some of it at each step, with an eye on the prompt: its
# cross-attention reads keys and values that were made of the words. So let it read another prompt from some step on,
# and see how much of the picture still follows. The world's own classifier says what is in a picture.

# %%
import dataclasses

import matplotlib.pyplot as plt
import torch

import anylens
from anylens.analysis.denoising import decoded, predicted_clean
from anylens.zoo.feeding import Samples
from anylens.zoo.worlds.shapes import FACTORS, ShapesBatch

torch.manual_seed(0)
torch.set_grad_enabled(False)
lens = anylens.load("zoo:shapes-diffusion")
judge = anylens.load("zoo:shapes-vit").model  # names the colour and shape of a picture, right in 99.9%
words = [name.split() for _, name in sorted(judge.config.id2label.items())]
colour_of = torch.tensor([FACTORS["colour"].index(colour) for colour, _ in words])
shape_of = torch.tensor([FACTORS["shape"].index(shape) for _, shape in words])
steps, pairs = 16, 16
keys, values = "unet.*cross_attn.hook_k", "unet.*cross_attn.hook_v"
for point in (*lens.points.find(keys), *lens.points.find(values)):
    print(f"{point.name:52s} {' '.join(point.axes)}")

# %% [markdown]
# ## Two prompts, one noise
#
# Pairs of prompts with another colour and another shape, each pair from the same noise. Keys and values depend on the
# prompt alone, so one step of the second prompt's run has all there is to know of it.

# %%
scenes = Samples("shapes-diffusion", pairs, batch=pairs, seed=3).truth(0).scenes
first = [dataclasses.replace(scene, size="large", wording=3) for scene in scenes]  # "large red star"
second = []
for number, scene in enumerate(first):
    colours, shapes = FACTORS["colour"], FACTORS["shape"]
    colour = colours[(colours.index(scene.colour) + 1 + number % 7) % len(colours)]
    shape = shapes[(shapes.index(scene.shape) + 1 + number % 5) % len(shapes)]
    second.append(dataclasses.replace(scene, colour=colour, shape=shape))
print(first[0].caption, "/", second[0].caption)


def drawing(scenes, guidance=1.0):
    """The arguments of a run: the same noise every time; a guidance of 1 is none."""
    noise = [torch.Generator().manual_seed(number) for number in range(len(scenes))]
    prompt = [scene.caption for scene in scenes]
    return {
        "prompt": prompt,
        "num_inference_steps": steps,
        "generator": noise,
        "output_type": "pt",
        "guidance_scale": guidance,
    }


def seen(pictures):
    """The colour and the shape in each picture, 0..1, as the judge sees them."""
    said = judge(pixel_values=pictures * 2 - 1).logits.argmax(-1)
    return torch.stack([colour_of[said], shape_of[said]])


def asked(scenes):
    factors = ShapesBatch.of(scenes).factors
    return torch.stack([factors["colour"], factors["shape"]])


of_first, seen_by_first = lens.record(points=keys, **drawing(first))
of_second, read = lens.record(points=[keys, values], steps=[0], **drawing(second))
others = read[0]  # the cache of step 0
for name, out, scenes in (("first", of_first, first), ("second", of_second, second)):
    right = (seen(out.images) == asked(scenes)).float().mean(1)
    print(f"{name} prompt: colour as asked {right[0]:.0%}, shape as asked {right[1]:.0%}")
    assert right.min() > 0.7

# %% [markdown]
# ## The other prompt from step k on
#
# `patch_from` puts the second prompt's keys and values in, `.on(steps=...)` says when. At `k = 0` it is the second
# prompt's picture, and never putting them in leaves the first one's. Once without guidance and once with the usual
# one, which takes the difference of two predictions, with the prompt and without, 7.5 times.

# %%
starts = list(range(0, steps + 1, 2))
switched, examples = {}, []
for guidance in (1.0, 7.5):
    _, read = lens.record(points=[keys, values], steps=[0], **drawing(second, guidance))
    switched[guidance] = []
    for start in starts:
        late = anylens.patch_from(read[0]).on(steps=slice(start, None))
        with lens.hooks({keys: late, values: late} if start < steps else {}):
            pictures = lens.model(**drawing(first, guidance)).images
        switched[guidance].append((seen(pictures) == asked(second)).float().mean(1))
        if guidance == 1.0:
            examples.append(pictures[:3])
    switched[guidance] = torch.stack(switched[guidance])  # start, colour and shape
    print(guidance, [[round(share, 2) for share in pair] for pair in switched[guidance].tolist()])

plain, guided = switched[1.0], switched[7.5]
assert plain[0].min() > 0.8  # the second prompt from the start
assert plain[-1].max() < 0.15  # never
early, late = starts.index(4), starts.index(12)
assert plain[early].min() > 0.5  # after a quarter of the steps all is open,
assert plain[late].max() < 0.4  # after three quarters it is decided,
assert guided[late].min() > 0.5  # unless the prompt is shouted

# %%
point = lens.points.find(keys)[0].name
noise = [float(step.sigma) for step in seen_by_first.indices(point)]
fig, panels = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True)
for panel, share in zip(panels, switched.values(), strict=True):
    for column, (name, tint) in enumerate((("colour", "tab:red"), ("shape", "tab:blue"))):
        panel.plot(starts, share[:, column].numpy(), "o-", color=tint, label=f"the second prompt's {name}")
    panel.set_xticks(
        starts, [f"{k}\n{noise[k]:.1f}" if 0 < k < steps else str(k) for k in starts], fontsize=8
    )
    panel.set_xlabel("second prompt from step ... on, and the noise left there")
panels[0].set_ylabel("share of pictures")
panels[0].set_title("Without guidance: decided in the middle")
panels[1].set_title("With guidance 7.5: open almost to the end")
panels[0].legend(fontsize=8)
fig.tight_layout()

# %%
fig, panels = plt.subplots(3, len(starts), figsize=(7.6, 2.9))
for panel_row, row in zip(panels, range(3), strict=True):
    for panel, pictures in zip(panel_row, examples, strict=True):
        panel.imshow(pictures[row].permute(1, 2, 0).clamp(0, 1))
        panel.set_xticks([])
        panel.set_yticks([])
    panel_row[0].set_ylabel(f"{second[row].colour}\n{second[row].shape}", fontsize=7)
for panel, start in zip(panels[0], starts, strict=True):
    panel.set_title(f"from {start}" if start < steps else "never", fontsize=8)
fig.suptitle("Without guidance: the later the second prompt comes, the less of it is drawn", fontsize=10)
fig.tight_layout()

# %% [markdown]
# ## What it has in mind
#
# At each step the prediction and the noise level give the clean picture that the model takes its latent to be on the
# way to. When does that have the colour and the shape of the final picture?

# %%
mind = predicted_clean(lens, **drawing(first))
thought = torch.stack([seen(picture) for picture in decoded(lens, mind.clean)])  # step, what, picture
final = seen(of_first.images)
settled = (thought == final).float().mean(2)  # step, colour and shape
print(settled.T)
assert settled[-1].min() > 0.9
assert settled[0].max() < 0.6  # at first a guess,
assert (
    settled[4, 0] > 0.9 > settled[4, 1]
)  # a quarter of the way in the colour is settled, and the shape not quite

# %%
fig, axes = plt.subplots(figsize=(8, 3.2))
axes.plot(settled[:, 0].numpy(), "o-", color="tab:red", label="colour")
axes.plot(settled[:, 1].numpy(), "o-", color="tab:blue", label="shape")
axes.set_xlabel("step")
axes.set_ylabel("share as in the final picture")
axes.set_title("In the model's mind the colour settles first, the shape after it")
axes.legend()
fig.tight_layout()

# %% [markdown]
# ## The answer
#
# Without guidance, half of the pictures can still be turned after six or seven of the sixteen steps, where the noise
# is down to about the strength of the signal, and hardly any after fourteen. The model has its colour in mind after
# four steps and most shapes after eight, but goes on listening for a while. Shape and colour are not decided at one
# moment but close together. Guidance moves all this almost to the end, because it multiplies whatever the words still
# say.
#
# ## With the hub's model
#
# Three lines change. Its U-Net has sixteen cross-attentions, and `keys` and `values` find them all; a judge of its
# pictures is any classifier, such as `google/vit-base-patch16-224`, or CLIP.
#
# ```python
# lens = anylens.load("stable-diffusion-v1-5/stable-diffusion-v1-5")  # StableDiffusionPipeline
# first, second = ["a photo of a red cube"] * 4, ["a photo of a blue sphere"] * 4
# steps, pairs = 30, 4
# ```
