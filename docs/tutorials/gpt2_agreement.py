# %% [markdown]
# # The head that makes the verb agree
#
# *"The king that the old princes praise often ..." Which part of GPT-2 sees to it that the next verb is "claims", not
# "claim"?*
#
# Two methods, and where they disagree: direct attribution says who wrote the answer, patching says on whom it hangs.
# `zoo:grammar-gpt2` has three layers of four heads.

# %%
import matplotlib.pyplot as plt
import torch

import anylens
from anylens.analysis.contributions import Direction
from anylens.analysis.direct import direct_attribution
from anylens.analysis.metrics import logit_difference
from anylens.analysis.patching import patching_sweep
from anylens.zoo.worlds.lexicon import PEOPLE, VERBS

torch.set_grad_enabled(False)
lens = anylens.load("zoo:grammar-gpt2")

# %% [markdown]
# ## Pairs of sentences
#
# Two sentences for every noun of the world, alike but for the number of the subject. The clause has a noun of its own,
# nearer to the verb, in one half of the pairs of the one number, in the other half of the other.

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
verb = {  # the form of one verb of the topic in each number, for each pair
    number: torch.tensor(lens.processor.convert_tokens_to_ids([VERBS[t][0][form] for t in topics]))
    for form, number in enumerate(pairs)
}
plurality = logit_difference(verb["plural"], verb["singular"])
for number in pairs:
    said = plurality(lens.model(**given[number]))
    share = ((said > 0) == (number == "plural")).float().mean()
    print(f"{pairs[number][0]} ...   the right form is likelier in {share:.0%} of {len(topics)}")
    assert share == 1

# %% [markdown]
# ## Who wrote the answer?
#
# The stream at the last word is a sum of what all heads and MLPs wrote, and the logits are read off it. So the logit of
# the plural form over that of the singular one is a sum too, with a share for each part.

# %%
way = Direction(verb["plural"], away=verb["singular"])
wrote = {number: direct_attribution(lens, given[number], way, by="head") for number in pairs}
for found in wrote.values():
    assert torch.allclose(found.values.sum(-1), found.total, atol=1e-4)  # nothing is left over

apart = wrote["plural"].values.mean(0) - wrote["singular"].values.mean(0)
names = [str(part) for part in wrote["plural"].parts]
order = apart.argsort(descending=True)[:6].tolist()
for n in order:
    print(f"{names[n]:28s} {apart[n]:5.2f} of {apart.sum():.2f}")

# %%
fig, axes = plt.subplots(figsize=(8, 3))
for number, colour in (("singular", "tab:orange"), ("plural", "tab:blue")):
    axes.barh(range(6), wrote[number].values.mean(0)[order].tolist(), color=colour, label=f"subject {number}")
axes.set_yticks(range(6), [names[n].replace("hook_", "") for n in order])
axes.invert_yaxis()
axes.axvline(0, color="black", linewidth=0.8)
axes.set_xlabel("what the part adds to the logit of the plural form, over the singular one")
axes.set_title("Three parts write the verb's number: one head, and the two MLPs behind it")
axes.legend()
fig.tight_layout()

# %% [markdown]
# ## On whom does it hang?
#
# An MLP can only work with what is in the stream at its own word. Who brought the number there? Put each head's output
# in the plural sentence, at each word, into the run on the singular one, and let all that follows follow.

# %%
points = "blocks.*.attn.hook_z"
grid = patching_sweep(
    lens, given["singular"], source=given["plural"], points=points, metric=plurality, over="pos head"
)
best = grid.strongest()[0]
layer, head = best["layer"], best["head"]
recovered = grid.recovered.mean(0)  # layer, position, head
print(f"{best}: recovers {recovered[layer, -1, head]:.1%}")
others = recovered[:, -1].flatten().sort(descending=True).values[1]
print(f"the next head at the last word: {others:.1%}")
assert best["pos"] == len(words) - 1
assert recovered[layer, -1, head] > 0.95
assert others < 0.15

# %% [markdown]
# One head brings all of it. What the MLPs wrote of the number, they had from this head: direct attribution names those
# who speak last, patching names the source.

# %%
_, cache = lens.run_with_cache(**given["singular"], points="blocks.*.attn.hook_pattern")
looked = cache[f"blocks.{layer}.attn.hook_pattern"][:, :, -1].mean(0)  # head, word
assert looked[head].argmax() == 3  # the subject
assert looked[head, 3] > 0.95

fig, axes = plt.subplots(1, 2, figsize=(8, 3), width_ratios=[1, 2])
axes[0].imshow(recovered[:, -1].numpy(), cmap="Blues", vmin=0, vmax=1)
for row in range(3):
    for column in range(4):
        share = recovered[row, -1, column]
        axes[0].text(
            column, row, f"{share:.2f}", ha="center", va="center", color="white" if share > 0.5 else "black"
        )
axes[0].set_xticks(range(4))
axes[0].set_yticks(range(3))
axes[0].set_xlabel("head")
axes[0].set_ylabel("layer")
axes[0].set_title("Recovered, at the last word", fontsize=10)
axes[1].bar(range(len(words)), looked[head].tolist(), color="tab:blue")
axes[1].set_xticks(range(len(words)), words, rotation=30)
axes[1].set_ylabel("attention")
axes[1].set_title(f"Head {head} of layer {layer} looks past the clause, at the subject", fontsize=10)
fig.tight_layout()

# %% [markdown]
# ## In all sentences?
#
# So far one sentence pattern. Now sentences as the world draws them, none of which the model was trained on: wherever a
# verb in the present comes next, is the form that agrees likelier? With each head's output replaced by its mean, one
# head at a time.

# %%
other = {}
for verbs in VERBS.values():
    for singular, plural, _ in verbs:
        other |= {singular: plural, plural: singular}
numbers = lens.processor.get_vocab()
batch = lens.world.sample(512, seed=0, split="held_out")
places = [
    (row, place, numbers[word], numbers[other[word]])
    for row, sentence in enumerate(batch.sentences)
    for place, word in enumerate(sentence.words)
    if word in other
]
rows, at, right, wrong = torch.tensor(places).T
sentences = {"input_ids": batch.input_ids, "attention_mask": batch.mask.long()}
_, usual = lens.run_with_cache(sentences, points=points)


def agreement(hooks):
    """How often the form that agrees is likelier than the other."""
    logits = lens.run_with_hooks(sentences, hooks=hooks).logits
    return (logits[rows, at, right] > logits[rows, at, wrong]).float().mean().item()


agree = torch.empty(3, 4)
for a in range(3):
    name = points.replace("*", str(a))
    for b in range(4):
        mean = usual[name][batch.mask][:, b].mean(0)
        agree[a, b] = agreement({name: anylens.set_to(mean).on(head=b)})
whole = agreement({})
print(
    f"{len(places)} verbs: {whole:.1%} agree; without head {head} of layer {layer} {agree[layer, head]:.1%}"
)
print("without each head (layer by head):", [[f"{x:.1%}" for x in row] for row in agree.tolist()])
assert whole > 0.99
assert agree.argmin() == 4 * layer + head

# %% [markdown]
# ## With GPT-2 from the hub
#
# ```python
# lens = anylens.load("openai-community/gpt2")
# pairs = {"singular": ["The key to the old cabinets"], "plural": ["The keys to the old cabinets"]}
# verb = {"singular": lens.processor(" is").input_ids, "plural": lens.processor(" are").input_ids}
# ```
