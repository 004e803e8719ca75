# %% [markdown]
# # Where Whisper looks, and what silence is to it
#
# *Where in the sound does Whisper's decoder look while it writes a token, does it write what it looks at, and which
# features of the encoder say "pause"?*
#
# `zoo:vowels-whisper` is a small Whisper that writes down vowels, with a comma for each long pause. Its world is made
# by us, so we know to the millisecond when each vowel sounds, and can check where the model looks.

# %%
import matplotlib.pyplot as plt
import torch
import transformers
from IPython.display import Audio

import anylens
from anylens.harvest import Batches, InMemory, collect
from anylens.sae import Settings, make, train
from anylens.sae.truth import find_factors
from anylens.zoo.feeding import Samples
from anylens.zoo.worlds import vowels

transformers.logging.set_verbosity_error()
lens = anylens.load("zoo:vowels-whisper")


def heard(batch):
    sounds = list(batch.waveform.numpy())
    return lens.processor.feature_extractor(sounds, sampling_rate=batch.rate, return_tensors="pt")


def words(tokens):
    return [text.split() for text in lens.processor.batch_decode(tokens, skip_special_tokens=True)]


batch = vowels.sample(48, seed=2, split="held_out")
sounds, truth = heard(batch), [text.split() for text in batch.transcripts]
shown = max(range(48), key=lambda row: len(truth[row]))  # the longest, to look at
print(" ".join(truth[shown]))
Audio(batch.waveform[shown].numpy(), rate=batch.rate)

# %% [markdown]
# ## Look while it writes
#
# `record` follows `generate` and keeps the cross-attention at each step: step *n* writes token *n*. The first writes
# the mark that ends the prompt, so word *n* is written in step *n* + 1.

# %%
patterns = "decoder.blocks.*.cross_attn.hook_pattern"
tokens, steps = lens.record(sounds, method="generate", points=patterns)
written = words(tokens)
looks = {  # [step, batch, head, frame]
    layer: torch.stack([step[patterns.replace("*", str(layer))][:, :, -1] for step in steps])
    for layer in (0, 1)
}
right = sum(text == wanted for text, wanted in zip(written, truth, strict=True))
print(f"{right} of 48 sounds are written down without a mistake")
assert right >= 46

# %% [markdown]
# When each word is to be heard, the world knows: a vowel from its start to its end, a comma in the pause between two.

# %%
frames = lens.layout.of("encoder")
moments = torch.tensor([sum(frames.where((frame,), (100,)).seconds) / 2 for frame in range(100)])


def spans(clip):
    """Seconds from and to, of each word of a clip."""
    found = []
    for place, segment in enumerate(clip.segments):
        found.append((segment.start, segment.end))
        if place < len(clip.pauses) and clip.pauses[place] >= vowels.LONG_PAUSE:
            found.append((segment.end, clip.segments[place + 1].start))
    return found


def within(span):
    return (moments >= span[0]) & (moments < span[1])


times = [spans(clip) for clip in batch.clips]
assert all(len(span) == len(text) for span, text in zip(times, truth, strict=True))

# %%
fig, axes = plt.subplots(3, 1, figsize=(8, 4.6), sharex=True, height_ratios=[1, 2, 2])
axes[0].plot(
    [n / 16000 for n in range(32000)], batch.waveform[shown].numpy(), color="tab:blue", linewidth=0.4
)
axes[0].set_yticks([])
axes[0].set_ylabel("sound")
for panel, head in zip(axes[1:], (3, 0), strict=True):
    seen = looks[0][1 : len(truth[shown]) + 1, shown, head]
    panel.imshow(seen.numpy(), extent=(0, 2, len(seen), 0), aspect="auto", cmap="Blues", vmin=0, vmax=0.25)
    for row, (start, end) in enumerate(times[shown]):
        panel.plot([start, start, end, end, start], [row, row + 1, row + 1, row, row], color="tab:red")
    panel.set_yticks([row + 0.5 for row in range(len(seen))], truth[shown])
    panel.set_ylabel(f"head {head} of layer 0\nwriting")
axes[2].set_xlabel("seconds")
axes[0].set_title(
    "Head 3 looks at what is being written, vowels and pauses, head 0 at vowels only (red: the truth)"
)
fig.tight_layout()

# %% [markdown]
# One sound shows nothing yet. So for all heads and sounds: how much of the attention lies within the time of the word
# that is being written? Looking everywhere alike would give the share of the sound that this time is: chance.


# %%
def share(comma):
    """Attention of each head at the time of the vowels, or commas, that it writes; and what chance would give."""
    found, chance = [], []
    for row, text in enumerate(truth):
        for place, word in enumerate(text):
            if (word == ",") == comma:
                now = within(times[row][place])
                found.append(torch.cat([looks[layer][place + 1, row][:, now].sum(-1) for layer in (0, 1)]))
                chance.append(now.float().mean())
    return torch.stack(found).mean(0), torch.stack(chance).mean()


shares = {"vowels": share(comma=False), "pauses": share(comma=True)}
for what, (found, chance) in shares.items():
    print(f"writing {what}: most in head {found.argmax()} of 8, {found.max():.0%}; by chance {chance:.0%}")
assert shares["vowels"][0].argmax() == 3
assert shares["vowels"][0][3] > 0.85
assert shares["pauses"][0][2] > 0.8
assert max(chance for _, chance in shares.values()) < 0.15

# %%
fig, axes = plt.subplots(figsize=(8, 3))
for n, (what, colour) in enumerate({"vowels": "tab:blue", "pauses": "tab:orange"}.items()):
    places = [head + 0.4 * n - 0.2 for head in range(8)]
    found, chance = shares[what]
    axes.bar(places, found.tolist(), 0.38, color=colour, label=f"while it writes {what}")
    axes.hlines(
        [float(chance)] * 8,
        [at - 0.19 for at in places],
        [at + 0.19 for at in places],
        color="black",
        label=["by chance", None][n],
    )
axes.set_xticks(range(8), [f"layer {n // 4}\nhead {n % 4}" for n in range(8)])
axes.set_ylabel("attention at the right time")
axes.set_title("The first layer looks at the word that is being written, the second less")
axes.legend(ncols=3, loc="upper right", fontsize=8)
axes.set_ylim(0, 1.15)
fig.tight_layout()

# %% [markdown]
# ## Does it write what it looks at?
#
# Attention that can be explained need not matter. So turn the model's eyes: in the step that writes the first word, and
# in that step only, let all heads of a layer look at the last vowel. The control makes them look at the first, where
# they look anyway, with the same flat pattern.

# %%
clips = [clip for clip in batch.clips if clip.segments[0].vowel != clip.segments[-1].vowel]
pairs = heard(vowels.VowelsBatch.of(clips))


def flat(place):
    """A pattern that looks at one segment of each sound, evenly: [batch, 1, 1, frame]."""
    seen = torch.stack([within((c.segments[place].start, c.segments[place].end)) for c in clips]).float()
    return (seen / seen.sum(1, keepdim=True))[:, None, None]


def first_words(layer, place):
    """What is written first when a layer looks at one segment, in step 1."""
    look = {patterns.replace("*", layer): anylens.set_to(flat(place)).on(steps=1)}
    tokens = lens.run_with_hooks(pairs, method="generate", hooks=look, max_new_tokens=3)
    return [text[0] for text in words(tokens)]


turned = {
    (layer, place): sum(
        word == clip.segments[-1].vowel for word, clip in zip(first_words(layer, place), clips, strict=True)
    )
    / len(clips)
    for layer in ("0", "1")
    for place in (-1, 0)
}
print(f"{len(clips)} sounds; the last vowel is written first in")
for (layer, place), found in turned.items():
    print(f"  {found:4.0%} when layer {layer} looks at the {'last' if place else 'first'} vowel")
assert turned["0", -1] > 0.95
assert turned["0", 0] < 0.05
assert turned["1", -1] < 0.05

# %% [markdown]
# It writes what the first layer looks at, and the second layer's look changes nothing.
#
# ## What is silence?
#
# Silence is of two kinds here: around all vowels, where nothing is to be written, and between two, where a long one is
# a comma. Train a sparse autoencoder on what leaves the encoder's last layer. (One ships, but it was chosen to have a
# feature for vowels as a whole, and tells the silences apart less well.) Which features fire where? Each is chosen on
# one half of the sounds and scored on the other; the control has shuffled labels.

# %%
point = "encoder.blocks.2.hook_resid_post"
many = Samples("vowels-whisper", 400, batch=64, seed=1)
rows = collect(lens, many, points=point)[point].values  # of every 20 ms
batches = Batches(InMemory(rows), 512, epochs=None)
settings = Settings(steps=800, lr=5e-3, dead_after=20 * 512)
sae = train(make("matryoshka", 64, 32, k=4, widths=[10, 32]), batches, settings, progress=False)
acts = f"{point}.sae.hook_acts"
start = torch.full((48, 1), lens.model.config.decoder_start_token_id)
_, cache = lens.splice({point: sae}).run_with_cache(sounds, decoder_input_ids=start, points=acts)

kinds = ("around", "vowel", "between")
kind = torch.zeros(48, 100, dtype=torch.long)
for row, clip in enumerate(batch.clips):
    for segment in clip.segments:
        kind[row, within((segment.start, segment.end))] = 1
    for before, after in zip(clip.segments, clip.segments[1:], strict=False):
        kind[row, within((before.end, after.start))] = 2

samples = torch.arange(48).repeat_interleave(100)
found = find_factors(cache[acts].flatten(0, 1), {"silence": kind.flatten()}, samples)
best = {kinds[one.value]: one for one in found}
for name, one in best.items():
    print(f"{name:8s} feature {one.feature:2d}  AUROC {one.auroc:.2f}  control {one.control:.2f}")
around, between = best["around"].feature, best["between"].feature
assert around != between
assert best["around"].auroc > 0.8
assert best["between"].auroc > 0.85
assert max(one.control for one in found) < 0.6

# %%
fig, axes = plt.subplots(figsize=(8, 3))
for segment in batch.clips[shown].segments:
    axes.axvspan(segment.start, segment.end, color="lightgrey")
    axes.text((segment.start + segment.end) / 2, 0.2, segment.vowel, ha="center")
for feature, colour in ((around, "tab:purple"), (between, "tab:orange")):
    axes.plot(
        moments.tolist(), cache[acts][shown, :, feature].tolist(), color=colour, label=f"feature {feature}"
    )
axes.set_xlabel("seconds (grey: vowels)")
axes.set_ylabel("activation")
axes.set_title(f"Feature {between} is strongest between vowels, feature {around} around them all")
axes.legend()
fig.tight_layout()

# %% [markdown]
# ## Turn them up
#
# Add a feature to every frame. If the one says "pause" to the decoder and the other "nothing here", then what is
# written should be commas, and nothing. Every other feature that is ever active is turned up as far, as a control.


# %%
def transcribed(hook, rows=slice(None)):
    given = {"input_features": sounds.input_features[rows]}
    return words(lens.run_with_hooks(given, method="generate", hooks={point: hook}))


def counted(texts):
    """The share of sounds for which nothing is written, and of commas among the words."""
    every = [word for text in texts for word in text]
    return sum(not text for text in texts) / len(texts), every.count(",") / max(1, len(every))


active = ((cache[acts] > 0).flatten(0, 1).float().mean(0) > 0.01).nonzero().flatten().tolist()
turned_up = {n: transcribed(anylens.steer(sae.feature(n), 32.0), slice(16)) for n in active}
for n in (between, around, *[n for n in active if n not in (between, around)][:2]):
    print(f"feature {n} up:", *[" ".join(text) or "(nothing)" for text in turned_up[n][:3]], sep="   ")

none, commas = ({n: counted(texts)[i] for n, texts in turned_up.items()} for i in (0, 1))
assert none[around] == 1
assert commas[between] > 0.9
assert max(commas[n] for n in active if n != between) < 0.7

# %%
fig, axes = plt.subplots(figsize=(8, 3))
places = range(len(active))
axes.bar(
    [at - 0.2 for at in places],
    list(none.values()),
    0.4,
    color="tab:purple",
    label="sounds for which nothing is written",
)
axes.bar(
    [at + 0.2 for at in places],
    list(commas.values()),
    0.4,
    color="tab:orange",
    label="commas among the words written",
)
axes.set_xticks(places, active, fontsize=8)
axes.set_xlabel("feature turned up")
axes.set_ylabel("share")
axes.set_title(f"Feature {between} makes the model write commas; feature {around} and two others silence it")
axes.legend(fontsize=8)
fig.tight_layout()

# %% [markdown]
# Two more silence it. Are they counterexamples? No: they are about silence as well.

# %%
silent = (kind != 1).flatten()
for n in [n for n in active if none[n] > 0.5]:
    fires = (cache[acts].flatten(0, 1)[:, n] > 0).float()
    print(
        f"feature {n}: in {fires[silent].mean():.1%} of silent frames, {fires[~silent].mean():.1%} of voiced ones"
    )
    assert fires[silent].mean() > 5 * fires[~silent].mean()

# %% [markdown]
# ## With a Whisper from the hub
#
# ```python
# lens = anylens.load("openai/whisper-tiny")
# sounds = lens.processor(my_sound, sampling_rate=16000, return_tensors="pt")
# sae = anylens.load_sae("my_folder")
# ```
#
# A sound lies in the first of 1500 frames; the rest of the 30 seconds is padding, and much attention goes there: look
# at the share within the sound first. No autoencoder ships for it; [train one](sae_at_scale.ipynb). Without true times,
# `anylens.analysis.patterns.diagonal` scores which heads move forward in the sound as the text goes on.
