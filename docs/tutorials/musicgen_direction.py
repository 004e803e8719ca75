# %% [markdown]
# # The instrument in MusicGen's decoder
#
# *Is a direction in MusicGen's decoder an instrument: added while a flute plays, does an organ play instead?*
#
# `zoo:melodies-musicgen` plays short melodies to captions such as "flute, minor, fast, down". An ear that was trained
# on true melodies, not on the model's, judges which instrument it hears.

# %%
from dataclasses import replace
from itertools import product

import matplotlib.pyplot as plt
import transformers
from IPython.display import Audio, display

import anylens
from anylens.analysis.directions import random_like
from anylens.zoo.measure.ear import InstrumentEar, scale_of
from anylens.zoo.worlds import melodies

transformers.logging.set_verbosity_error()
lens = anylens.load("zoo:melodies-musicgen")
ear = InstrumentEar.trained()
INSTRUMENTS = melodies.FACTORS["instrument"]

true = melodies.sample(64, seed=0, split="held_out")
judged = ear(true.waveform).argmax(-1) == true.factors["instrument"]
print(f"the ear names the instrument of {judged.float().mean():.0%} of true melodies")
assert judged.float().mean() > 0.95

# %% [markdown]
# ## The same melodies on two instruments
#
# All captions that there are for an instrument: two scales, two tempos, two directions, in three wordings. The model
# writes the likeliest codes, so nothing is random. The scale is judged by the pitch of each note.

# %%
flutes = [
    melodies.Melody(instrument="flute", scale=scale, tempo=tempo, direction=way, wording=wording)
    for scale, tempo, way in product(*(melodies.FACTORS[name] for name in ("scale", "tempo", "direction")))
    for wording in range(len(melodies.WORDINGS))
]


def asked(instrument):
    captions = [replace(melody, instrument=instrument).caption for melody in flutes]
    return lens.processor.tokenizer(captions, padding=True, return_tensors="pt")


def play(given, hooks):
    return lens.run_with_hooks(given, method="generate", hooks=hooks)[:, 0, : melodies.SAMPLES]


def heard(sounds, instrument="organ"):
    """The share of the sounds that are of an instrument, to the ear, and of those in the scale that was asked for."""
    named = (ear(sounds).argmax(-1) == INSTRUMENTS.index(instrument)).float().mean()
    scales = [scale_of(sound, melody) == melody.scale for sound, melody in zip(sounds, flutes, strict=True)]
    return float(named), sum(scales) / len(scales)


flute, organ = asked("flute"), asked("organ")
plain = {"flute": play(flute, {}), "organ": play(organ, {})}
for name, sounds in plain.items():
    share, kept = heard(sounds, name)
    print(f"asked for {len(sounds)} times: {name}, heard {share:.0%}, in its scale {kept:.0%}")
    assert share > 0.9

# %% [markdown]
# ## A direction behind each layer, and its control
#
# The mean of the stream while organs are asked for, less the mean while flutes are, over all moments of what is played.
# It is added at every moment of a melody for which a flute is asked. The control is a random direction of the same
# length, twice over.

# %%
points = [f"decoder.blocks.{layer}.hook_resid_post" for layer in range(4)]
strengths = [1.0, 1.5, 2.0]
ways = anylens.difference_of_means(lens, [organ], [flute], points=points, method="generate")
played, control = {}, {}
for layer, point in enumerate(points):
    for strength in strengths:
        played[layer, strength] = play(flute, {point: anylens.steer(ways[point], strength)})
    random = random_like(ways[point], seed=0)
    control[layer] = heard(play(flute, {point: anylens.steer(random, strengths[-1])}))
found = {key: heard(sounds) for key, sounds in played.items()}
for (layer, strength), (share, kept) in found.items():
    print(f"layer {layer}  {strength:3.1f}  organ {share:4.0%}  in its scale {kept:4.0%}")
for layer, (share, kept) in control.items():
    print(f"layer {layer}  random {strengths[-1]:3.1f}  organ {share:4.0%}  in its scale {kept:4.0%}")
assert min(found[layer, 1.5][0] for layer in range(4)) > 0.9
assert max(share for share, _ in control.values()) < 0.1

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True)
for number, (axis, what) in enumerate(
    zip(axes, ("organs, to the ear", "in the scale asked for"), strict=True)
):
    for strength, colour in zip(strengths, ("lightblue", "tab:blue", "navy"), strict=True):
        shares = [found[layer, strength][number] for layer in range(4)]
        axis.plot(range(4), shares, "o-", color=colour, label=f"{strength:g}")
    axis.plot(range(4), [control[layer][number] for layer in range(4)], "o--", color="grey", label="random 2")
    axis.set_xticks(range(4))
    axis.set_xlabel("layer behind which it is added")
    axis.set_ylabel(f"share {what}", fontsize=9)
axes[0].legend(title="strength", fontsize=8)
fig.suptitle("Behind every layer the flutes become organs, and many lose their tune", fontsize=11)
fig.tight_layout()

# %% [markdown]
# One and a half times the difference makes organs of flutes, wherever it is added, and a random direction of twice the
# length makes none. But it is not the instrument alone: most melodies that are pushed so far leave their scale, as
# they do along random directions, though fewer of them. Behind the third layer most tunes survive.

# %%
tunes = [found[layer, 1.5][1] for layer in range(4)]
assert max(tunes) == tunes[2]
assert tunes[2] > 0.5

# %% [markdown]
# ## By your own ear
#
# One melody: asked for a flute, asked for a flute and steered behind the third layer, asked for an organ.

# %%
for sounds in (plain["flute"], played[2, 1.5], plain["organ"]):
    display(Audio(sounds[0].numpy(), rate=true.rate))

# %% [markdown]
# ## With a MusicGen from the hub
#
# ```python
# lens = anylens.load("facebook/musicgen-small")
# flute, organ = (lens.processor(text=[f"a solo {what} melody"], return_tensors="pt") for what in ("flute", "organ"))
# point = "decoder.blocks.12.hook_resid_post"
# ```
#
# That model draws its codes at random and is guided: set a seed before each run, and steer the rows that follow the
# text only, the first half of the batch: `.on(batch=slice(0, n))`. There is no ear for it here: listen.
