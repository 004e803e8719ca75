# %% [markdown]
# # Carrying number in Mamba's state
#
# *"The king that the old princes praise often ..." A clause later, the verb has to agree with "king". Mamba has no
# attention to look back with: which part of its state carries the number across the clause?*
#
# `zoo:grammar-mamba` has two layers. Each has a convolution that sees four positions, so what is further back than six
# can come to the verb through a state only: 96 channels of 8 numbers in each layer.

# %%
import matplotlib.pyplot as plt
import torch
import transformers

import anylens
from anylens.analysis.metrics import logit_difference
from anylens.analysis.patching import patching_sweep
from anylens.zoo.worlds.lexicon import PEOPLE, VERBS

transformers.logging.set_verbosity_error()
torch.set_grad_enabled(False)
lens = anylens.load("zoo:grammar-mamba")
print(lens.points["blocks.1.ssm.hook_state"].axes)

# %% [markdown]
# ## Pairs of sentences
#
# Two sentences for every noun of the world, alike but for the number of the subject. The clause has a noun of its own,
# in one half of the pairs of the one number, in the other half of the other.

# %%
pairs, topics = {"singular": [], "plural": []}, []
for topic, genders in PEOPLE.items():
    nouns = [forms for group in genders.values() for forms in group]
    for n, forms in enumerate(nouns):
        for inner in (0, 1):
            clause = f"that the old {nouns[n - 1][inner]} {VERBS[topic][n % 3][inner]} often"
            for number, noun in zip(pairs, forms, strict=True):
                pairs[number].append(f"today the {noun} {clause}")
            topics.append(topic)

given = {number: lens.processor(texts, return_tensors="pt") for number, texts in pairs.items()}
words = lens.processor.convert_ids_to_tokens(given["singular"].input_ids[0])
NOUN, LAST = words.index("king"), len(words) - 1
verb = {  # the form of one verb of the topic in each number, for each pair
    number: lens.processor.convert_tokens_to_ids([VERBS[topic][0][form] for topic in topics])
    for form, number in enumerate(pairs)
}
plurality = logit_difference(verb["plural"], verb["singular"])
for number in pairs:
    said = plurality(lens.model(**given[number]))
    share = ((said > 0) == (number == "plural")).float().mean()
    print(f"{pairs[number][0]} ...   the right form is likelier in {share:.0%} of {len(topics)}")
    assert share == 1

# %% [markdown]
# ## Where is it, word by word?
#
# Put the state that the plural sentence had, at one layer and one word, into the run on the singular one. The state
# after that word follows from it. `recovered` is 0 where the verb stays singular, 1 where it is as plural as in the
# other sentence.

# %%
states = "blocks.*.ssm.hook_state"
sources = {"source": given["plural"], "metric": plurality}
grid = patching_sweep(lens, given["singular"], points=states, **sources)
carried = grid.recovered.mean(0)  # layer, position
stream = patching_sweep(lens, given["singular"], points="blocks.*.hook_resid_post", **sources)

assert carried[1, LAST - 2 :].min() > 0.9  # in the state of layer 1, all the way to the verb
assert carried[0].abs().max() < 0.05  # not in that of layer 0
assert carried[:, :NOUN].abs().max() == 0  # and before the noun there is nothing to carry
assert (
    stream.recovered.mean(0)[:, NOUN + 2 : LAST].abs().max() < 0.05
)  # nor in the stream between noun and verb

# %%
fig, axes = plt.subplots(figsize=(8, 3))
for layer, colour in ((0, "tab:grey"), (1, "tab:blue")):
    axes.plot(carried[layer].tolist(), "o-", color=colour, label=f"state of layer {layer}")
between = stream.recovered.mean(0)[0, NOUN : LAST + 1].tolist()
axes.plot(range(NOUN, LAST + 1), between, "x:", color="tab:orange", label="stream between the layers")
axes.axvspan(NOUN + 0.5, LAST + 0.5, color="whitesmoke", zorder=0)
axes.set_xticks(range(len(words)), words)
axes.set_ylabel("plural verb recovered")
axes.set_title("The state of layer 1 takes the number in behind the noun, and carries it to the verb")
axes.legend()
fig.tight_layout()

# %% [markdown]
# It is not all in at the noun: the convolution of layer 1 hands the noun on to the next positions, and each writes a
# part of it into the state. Does the verb flip, and does nothing else change? Count both, with the state exchanged at
# the last word but one. What must stay is the topic and the tense: the verb should still be one of this topic, in the
# present.

# %%
_, plural = lens.run_with_cache(**given["plural"], points=states)
_, singular = lens.run_with_cache(**given["singular"], points=states)
own = torch.tensor(
    [lens.processor.convert_tokens_to_ids([form for forms in VERBS[t] for form in forms[:2]]) for t in topics]
)


def outcome(hooks):
    """How often the verb is plural, and how much of the probability is on verbs of the topic in the present."""
    output = lens.run_with_hooks(**given["singular"], hooks=hooks)
    chances = output.logits[:, -1].softmax(-1)
    return (plurality(output) > 0).float().mean().item(), chances.gather(1, own).sum(1).mean().item()


here = {"pos": LAST - 1}
layers = {layer: f"blocks.{layer}.ssm.hook_state" for layer in (0, 1)}
outcomes = {
    "as it is": outcome({}),
    "layer 0's state": outcome({layers[0]: anylens.patch_from(plural).on(**here)}),
    "layer 1's state": outcome({layers[1]: anylens.patch_from(plural).on(**here)}),
}
for name, (flipped, stayed) in outcomes.items():
    print(f"{name:16s} plural verb in {flipped:4.0%}; {stayed:.1%} on verbs of this topic in the present")
assert outcomes["layer 0's state"][0] == 0
assert outcomes["layer 1's state"][0] == 1
assert min(stayed for _, stayed in outcomes.values()) > 0.95

# %% [markdown]
# ## Which channels?
#
# One channel at a time, chosen on the pairs whose clause has a singular noun and tried on those with a plural one. The
# control takes as many channels at random, ten times.

# %%
half = {number: {key: value[::2] for key, value in texts.items()} for number, texts in given.items()}
of_half = logit_difference(verb["plural"][::2], verb["singular"][::2])
over = {"pos": [LAST - 1], "d_inner": None}
by_channel = patching_sweep(
    lens, half["singular"], source=half["plural"], points=layers[1], metric=of_half, over=over
)
order = by_channel.recovered.mean(0).flatten().argsort(descending=True)


def flips(channels):
    """How often the verb flips in the pairs that the channels were not chosen on."""
    hooks = {layers[1]: anylens.patch_from(plural).on(**here, d_inner=channels)}
    return (plurality(lens.run_with_hooks(**given["singular"], hooks=hooks)) > 0)[1::2].float().mean().item()


random = torch.Generator().manual_seed(0)
counts = [1, 2, 4, 8, 16, 32, 64, 96]
chosen = [flips(order[:count]) for count in counts]
drawn = [sum(flips(torch.randperm(96, generator=random)[:count]) for _ in range(10)) / 10 for count in counts]
print(f"the first eight: {order[:8].tolist()}")
for count, best, control in zip(counts, chosen, drawn, strict=True):
    print(f"{count:2d} channels   {best:4.0%}   at random {control:4.0%}")
assert chosen[1] > 0.9
assert drawn[1] < 0.2

# %%
fig, axes = plt.subplots(figsize=(8, 3))
axes.plot(counts, chosen, "o-", label="the strongest channels")
axes.plot(counts, drawn, "o--", color="grey", label="as many at random")
axes.set_xscale("log", base=2)
axes.set_xticks(counts, counts)
axes.set_xlabel("channels of layer 1's state that are exchanged, of 96")
axes.set_ylabel("verbs that flip")
axes.set_title("Two channels of 96 are enough to flip every verb")
axes.legend()
fig.tight_layout()

# %% [markdown]
# ## It stays in the state
#
# A generation keeps the states in its cache, so an edit at one word, while the beginning is read, lasts.

# %%
text = lens.processor("today the king that the old princes praise often", return_tensors="pt")
_, other = lens.run_with_cache(
    **lens.processor("today the kings that the old princes praise often", return_tensors="pt"), points=states
)
once = {layers[1]: anylens.patch_from(other).on(**here, steps=0)}
for name, hooks in (("as it is", {}), ("state of the plural", once)):
    tokens = lens.run_with_hooks(**text, method="generate", hooks=hooks, max_new_tokens=12, do_sample=False)
    written = lens.processor.decode(tokens[0], skip_special_tokens=True).split()
    print(f"{name}: {' '.join(written)}")
    assert written[LAST] in [forms[bool(hooks)] for forms in VERBS["court"]]  # the verb's number

# %% [markdown]
# ## With a Mamba from the hub
#
# ```python
# lens = anylens.load("state-spaces/mamba-130m-hf")
# pairs = {"singular": ["The key to the cabinets"], "plural": ["The keys to the cabinets"]}
# plurality = logit_difference(*[lens.processor(word).input_ids for word in (" are", " is")])
# ```
#
# Ask for the states of one layer at a time: they are large. The pairs must have as many tokens; `lens.processor` says.
