# %% [markdown]
# # A ResNet's channels
#
# *Which channels answer for which colour and shape, and how many must go before the answer does?*
#
# A `ResNetForImageClassification` names the colour and shape of the object in a picture. Its features lie in the
# channels of four stages. We look for channels that *find* a value, then take channels away, to see which are
# *needed*.

# %%
import matplotlib.pyplot as plt
import torch

import anylens
from anylens.analysis.ablation import ablation_sweep, mean_of
from anylens.analysis.metrics import log_probability
from anylens.sae.truth import find_factors
from anylens.zoo.feeding import Samples
from anylens.zoo.worlds.shapes import FACTORS

torch.manual_seed(0)
torch.set_grad_enabled(False)
lens = anylens.load("zoo:shapes-resnet")
stages = [
    f"stages.{stage}.blocks.{block}.hook_resid_post" for stage, block in ((0, 1), (1, 1), (2, 1), (3, 0))
]
values = {factor: FACTORS[factor] for factor in ("colour", "shape")}
for name in stages:
    print(f"{name:36s} {lens.points[name].shape[1]} channels")

# %% [markdown]
# ## Which channel finds which value?
#
# Each channel's largest activation in a picture, scored by how well it tells the pictures with a value from the
# others: the area under the ROC curve, 1 for perfect and 0.5 for chance. The channel is chosen in one half of the
# pictures and scored in the other; the control does the same with shuffled labels.

# %%
pictures = Samples("shapes-resnet", 512, batch=256)
truth = {factor: torch.cat([pictures.truth(n).factors[factor] for n in range(2)]) for factor in values}
caches = [lens.run_with_cache(given, points=stages)[1] for given in pictures]
found = {}
for name in stages:
    strongest = torch.cat([cache[name].amax((2, 3)) for cache in caches])
    found[name] = find_factors(strongest, truth, torch.arange(512))
for one in found[stages[3]]:
    print(
        f"{values[one.factor][one.value]:10s} channel {one.feature:3d}  {one.auroc:.2f}  (control {one.control:.2f})"
    )

scores = torch.tensor([[one.auroc for one in found[name]] for name in stages])  # stage, value
control = torch.tensor([[one.control for one in found[name]] for name in stages])
mean = {"colour": scores[:, :8].mean(1), "shape": scores[:, 8:].mean(1)}
assert mean["colour"][0] > mean["shape"][0] + 0.05  # colour is there early,
assert mean["shape"][3] > mean["shape"][0] + 0.08  # shape is built up,
assert control.mean() < 0.6  # and chance is far below

# %%
names = [values[one.factor][one.value] for one in found[stages[0]]]
fig, axes = plt.subplots(figsize=(9, 2.9))
image = axes.imshow(scores.numpy(), cmap="viridis", vmin=0.5, vmax=1, aspect="auto")
for row, line in enumerate(scores.tolist()):
    for column, score in enumerate(line):
        axes.text(
            column,
            row,
            f"{score:.2f}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if score < 0.85 else "black",
        )
axes.set_xticks(range(len(names)), names, rotation=30, fontsize=8)
axes.set_yticks(range(4), [f"stage {stage}" for stage in range(4)])
axes.set_title("The best channel for each value: most colours are found from the first stage, shapes later")
fig.colorbar(image, label="AUROC of the best channel")
fig.tight_layout()

# %% [markdown]
# ## Which are needed?
#
# Set one channel of the last stage to its mean and see what that costs the right answer. The sweep tells it for every
# channel and every picture; the mean over the pictures of a value, less that over the others, tells which channels
# answer for that value.

# %%
last, given = stages[3], pictures[1]
words = [name.split() for _, name in sorted(lens.model.config.id2label.items())]
number = {
    factor: torch.tensor([values[factor].index(word[place]) for word in words])
    for place, factor in enumerate(values)
}
factors = pictures.truth(1).factors
right = [
    words.index([values["colour"][c], values["shape"][s]])
    for c, s in zip(factors["colour"], factors["shape"], strict=True)
]
grid = ablation_sweep(
    lens, given, points=last, metric=log_probability(right), over="channel", to=mean_of(pictures[0])
)
cost = -grid.effect[:, 0]  # picture, channel
print(f"the largest cost of one channel: {cost.mean(0).max():.4f} nats")
assert cost.mean(0).max() < 0.05  # no single channel is needed

# %% [markdown]
# No single one is. So take them away together, those that answer most for a value first, on pictures that were not
# used to choose them, and see when its pictures are no longer called by it: beside those of other values, and beside
# as many channels at random.

# %%
held = Samples("shapes-resnet", 256, batch=256, split="held_out")
seen, means = held.truth(0).factors, caches[0][last].mean(0)  # channel, height, width
counts = [0, 16, 32, 48, 64, 80, 96, 112]


def right_without(channels, factor):
    """Which held-out pictures are still called by their value, without some channels."""
    hook = anylens.set_to(means[channels]).on(channel=channels)
    hooks = {last: hook} if len(channels) else {}
    said = lens.run_with_hooks(held[0], hooks=hooks).logits.argmax(-1)
    return number[factor][said] == seen[factor]


curves = {}
for factor, known in values.items():
    own, others, control = [], [], []
    for value in range(len(known)):
        has = factors[factor] == value
        order = (cost[has].mean(0) - cost[~has].mean(0)).argsort(descending=True)
        shuffled, shown = torch.randperm(len(order)), seen[factor] == value
        with_value = [right_without(order[:count], factor) for count in counts]
        own.append([stays[shown].float().mean() for stays in with_value])
        others.append([stays[~shown].float().mean() for stays in with_value])
        control.append([right_without(shuffled[:count], factor)[shown].float().mean() for count in counts])
    curves[factor] = [torch.tensor(lines).mean(0) for lines in (own, others, control)]
    print(factor, *([round(share, 2) for share in line.tolist()] for line in curves[factor]), sep="\n  ")

# %%
fig, panels = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True)
for panel, (factor, lines) in zip(panels, curves.items(), strict=True):
    labels = (f"its own {factor}", f"other {factor}s", f"its own {factor}, channels at random")
    for line, label, tint in zip(lines, labels, ("tab:red", "tab:blue", "grey"), strict=True):
        panel.plot(counts, line.numpy(), "o-", color=tint, label=label)
    panel.set_xlabel(f"channels of 128 taken away, those of one {factor} first")
    panel.legend(fontsize=8, loc="lower left")
panels[0].set_ylabel("share called right")
fig.suptitle(
    "A quarter of the channels can go before one value is lost, and then it is its own that go first"
)
fig.tight_layout()

own, others, control = (torch.stack([lines[place] for lines in curves.values()]) for place in range(3))
quarter, three_quarters = counts.index(32), counts.index(96)
assert own[:, quarter].min() > 0.95  # a quarter of the channels, the best ones, can go,
assert (
    own[:, three_quarters] < others[:, three_quarters] - 0.15
).all()  # and a value falls before the others,
assert (own[:, three_quarters] < control[:, three_quarters] - 0.1).all()  # and sooner than by chance

# %% [markdown]
# ## The answer
#
# Each value has a channel that finds it, colours from the first stage on, shapes later. But no channel is *needed*: a
# value is held by dozens together. What finds a thing is not yet what the answer hangs on, and an ablation of single
# units would have said, wrongly, that nothing here matters. To get units that stand for one thing each, train a
# [sparse autoencoder](../saes.md) on a stage.
#
# ## With the hub's model
#
# Three lines change; 224 x 224 pictures, stages of 256 to 2,048 channels, and 1,000 classes.
#
# ```python
# lens = anylens.load("microsoft/resnet-50")  # ResNetForImageClassification, with its ConvNextImageProcessor
# stages = [f"stages.{stage}.blocks.{block}.hook_resid_post" for stage, block in ((0, 2), (1, 3), (2, 5), (3, 2))]
# given = lens.processor(images=my_pictures, return_tensors="pt")
# ```
