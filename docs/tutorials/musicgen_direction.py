# %% [markdown]
# # The instrument in MusicGen's decoder
#
# *Is there a direction in MusicGen's decoder that is an instrument: added while a flute plays, does an organ play?*
#
# `zoo:melodies-musicgen` plays short melodies to captions such as "flute, minor, fast, down". An ear that was trained
# on true melodies, not on the model's, judges which instrument it hears.

# %%
import matplotlib.pyplot as plt
import transformers
from IPython.display import Audio, display

import anylens
from anylens.analysis.directions import random_like
from anylens.zoo.measure.ear import InstrumentEar
from anylens.zoo.worlds import melodies

transformers.logging.set_verbosity_error()
lens = anylens.load("zoo:melodies-musicgen")
ear = InstrumentEar.trained()
INSTRUMENTS = melodies.FACTORS["instrument"]

batch = melodies.sample(12, seed=0, split="held_out")
judged = ear(batch.waveform).argmax(-1) == batch.factors["instrument"]
print(f"the ear names the instrument of {judged.float().mean():.0%} of true melodies")
assert judged.float().mean() > 0.95

# %% [markdown]
# ## The same melodies on two instruments
#
# The captions differ in the instrument, and in nothing else. The model writes the likeliest codes: nothing is random.


# %%
def captions(instrument):
    asked = [f"{instrument}, {one.scale}, {one.tempo}, {one.direction}" for one in batch.melodies]
    return lens.processor.tokenizer(asked, padding=True, return_tensors="pt")


def play(asked, hooks):
    return lens.run_with_hooks(asked, method="generate", hooks=hooks)[:, 0, : melodies.SAMPLES]


def heard(sounds):
    """How many of the sounds are of each instrument, to the ear."""
    return {name: int((ear(sounds).argmax(-1) == n).sum()) for n, name in enumerate(INSTRUMENTS)}


flute, organ = captions("flute"), captions("organ")
plain = {"flute": play(flute, {}), "organ": play(organ, {})}
for name, sounds in plain.items():
    print(f"asked for: {name}: {heard(sounds)}")
    assert heard(sounds)[name] >= 11

# %% [markdown]
# ## A direction, and its control
#
# The mean of the stream behind the third layer while organs are asked for, less the mean while flutes are, over all
# moments of what is played. It is added at every moment of a melody for which a flute is asked. The control is a random
# direction of the same length.

# %%
point = "decoder.blocks.2.hook_resid_post"
direction = anylens.difference_of_means(lens, [organ], [flute], points=point, method="generate")[point]
strengths = [0.5, 1.0, 2.0]
played, shares = {}, {"organ less flute": [], "random": []}
for strength in strengths:
    for name, way in (("organ less flute", direction), ("random", random_like(direction, seed=0))):
        played[name, strength] = play(flute, {point: anylens.steer(way, strength)})
        found = heard(played[name, strength])
        shares[name].append(found["organ"] / 12)
        print(f"{name:16s} {strength:4.2f}  {found}")
assert shares["organ less flute"][-1] > 0.8
assert max(shares["random"]) < 0.2

# %%
fig, axes = plt.subplots(figsize=(8, 3))
for name, colour in (("organ less flute", "tab:blue"), ("random", "grey")):
    axes.plot(
        [0, *strengths], [heard(plain["flute"])["organ"] / 12, *shares[name]], "o-", color=colour, label=name
    )
axes.set_xlabel("strength, in lengths of the difference")
axes.set_ylabel("share that is an organ, to the ear")
axes.set_title("Asked for a flute and steered, the model plays an organ")
axes.legend(title="direction")
fig.tight_layout()

# %% [markdown]
# ## By your own ear
#
# One melody: asked for a flute, asked for a flute and steered, asked for an organ.

# %%
for sounds in (plain["flute"], played["organ less flute", 2.0], plain["organ"]):
    display(Audio(sounds[0].numpy(), rate=batch.rate))

# %% [markdown]
# ## With a MusicGen from the hub
#
# ```python
# lens = anylens.load("facebook/musicgen-small")
# flute, organ = (lens.processor(text=[f"a solo {what} melody"], return_tensors="pt") for what in ("flute", "organ"))
# point = "decoder.blocks.12.hook_resid_post"
# ```
#
# There is no ear for it here: listen, or ask a model that tells instruments, on sounds with and without it.
