# %% [markdown]
# # Coming from TransformerLens or nnsight
#
# *Which line of anylens stands for the line that you know, and does it give what the model really has?*
#
# Names and calls side by side, for TransformerLens 4.3 and nnsight 0.8. Every line of anylens is run below, and checked
# against hooks of plain PyTorch on the same model. What is not the same is said at the end.
#
# | to | TransformerLens | nnsight | anylens |
# |---|---|---|---|
# | load | `TransformerBridge.boot_transformers("gpt2")` | `TransformersModel("gpt2", dispatch=True)` | `anylens.load("openai-community/gpt2")` |
# | take a model in memory | an adapter of its architecture | `NNsight(model)` | `anylens.attach(model, example=inputs)` |
# | see the names | `model.hook_dict` | `print(model)` | `lens.points` |
# | read | `logits, cache = model.run_with_cache(tokens)` | `with model.trace(x): h = model.transformer.h[1].output.save()` | `out, cache = lens.run_with_cache(x, points="blocks.1.hook_resid_post")` |
# | read some | `names_filter=lambda name: ...` | what you `.save()` | `points=["blocks.*.hook_resid_post", ...]` |
# | edit | `model.run_with_hooks(x, fwd_hooks=[(name, fn)])` | `model.transformer.h[1].output[:] = 0` | `lens.run_with_hooks(x, hooks={name: fn})` |
# | edit for a while | `with model.hooks(fwd_hooks=[...]):` | `with model.edit() as edited:` | `with lens.hooks({name: fn}):` |
# | take hooks off | `model.reset_hooks()` | | they come off by themselves |
# | step by step | | `for step in tracer.iter[:5]:` | `for step in lens.iterate(x, method="generate", ...):` |
# | keep the steps | | a list that you save | `out, steps = lens.record(x, method="generate", points=...)` |
# | gradients inside | `bwd_hooks=[(name, fn)]` | `hidden.grad.save()` | `run_with_cache(..., grad=True)` |
# | stop early | `stop_at_layer=2` | `tracer.stop()` | `run_with_cache(..., stop_early=True)` |
# | inside a forward | the hooks that there are | `.source` | `<module path>.op.<function>.<k>.hook_out` |
# | sweep of patches | `patching.get_act_patch_resid_pre(...)` | a loop | `patching_sweep(...)` |
# | logit attribution | `cache.logit_attrs(...)` | by hand | `direct_attribution(...)` |
# | another machine | | `remote=True` (NDIF) | not there |

# %%
import matplotlib.pyplot as plt
import torch

import anylens
from anylens.analysis.contributions import Direction
from anylens.analysis.direct import direct_attribution
from anylens.analysis.logit_lens import logit_lens
from anylens.analysis.metrics import logit_difference
from anylens.analysis.patching import patching_sweep

lens = anylens.load("zoo:grammar-gpt2")  # a GPT2LMHeadModel
model = lens.model
inputs = lens.processor("today the kings near the queen", return_tensors="pt")


def seen(module, call):
    """What leaves a module while something is called: a hook of plain PyTorch."""
    found = []
    handle = module.register_forward_hook(
        lambda _, __, output: found.append(output[0] if isinstance(output, tuple) else output)
    )
    with torch.no_grad():
        call()
    handle.remove()
    return found


# %% [markdown]
# ## Names
#
# Where the concept is TransformerLens's, so is the name. Where you think in modules, as in nnsight, every module has
# `<path>.hook_in` and `<path>.hook_out`, and `<path>` is the path that the model's own `named_modules` gives. Both lead to
# the same value.
#
# | TransformerLens and anylens | nnsight, on GPT-2 | anylens, by module |
# |---|---|---|
# | `blocks.1.hook_resid_post` | `model.transformer.h[1].output` | `transformer.h.1.hook_out` |
# | `blocks.1.hook_attn_out` | `model.transformer.h[1].attn.output[0]` | `transformer.h.1.attn.hook_out` |
# | `blocks.1.hook_mlp_out` | `model.transformer.h[1].mlp.output` | `transformer.h.1.mlp.hook_out` |
# | `blocks.1.attn.hook_pattern` | in `.source` of the attention | |
# | `ln_final.hook_normalized` | `model.transformer.ln_f.output` | `transformer.ln_f.hook_out` |
#
# TransformerLens's short forms, `cache["resid_post", 1]`, are not there: names are written out, or given as globs.

# %%
out, cache = lens.run_with_cache(inputs, points=["blocks.1.hook_resid_post", "transformer.h.1.hook_out"])
(truth,) = seen(model.transformer.h[1], lambda: model(**inputs))
assert torch.equal(cache["blocks.1.hook_resid_post"], truth)
assert torch.equal(cache["transformer.h.1.hook_out"], truth)
with torch.no_grad():
    assert torch.equal(
        out.logits, model(**inputs).logits
    )  # the model's own output, whole: .logits, .loss, ...

_, cache = lens.run_with_cache(inputs, points="blocks.*.attn.hook_pattern")  # in place of names_filter
for name, pattern in cache.items():
    print(name, *(f"{axis}={size}" for axis, size in zip(cache.axes(name), pattern.shape, strict=True)))
    assert torch.allclose(pattern.sum(-1), torch.ones(()))

# %% [markdown]
# ## Edit
#
# A hook is `fn(value, at)`, as TransformerLens's `fn(value, hook)`: `at.name`, `at.layer`, `at.step`, `at.axes`. What it
# returns takes the value's place; nothing keeps it. In nnsight one writes into `.output`; the nearest to that is an
# intervention, a value that says what and where.


# %%
def halved(value, at):
    return value * 0.5 if at.layer == 1 else None


with torch.no_grad():
    by_function = lens.run_with_hooks(inputs, hooks={"blocks.*.hook_mlp_out": halved}).logits
    by_value = lens.run_with_hooks(inputs, hooks={"blocks.1.hook_mlp_out": anylens.scale(0.5)}).logits
    with lens.hooks({"transformer.h.1.mlp.hook_out": anylens.scale(0.5)}):
        in_a_block = model(**inputs).logits  # any code that calls the model

    handle = model.transformer.h[1].mlp.register_forward_hook(lambda _, __, output: output * 0.5)
    by_hand = model(**inputs).logits
    handle.remove()
assert torch.equal(by_function, by_hand)
assert torch.equal(by_value, by_hand)
assert torch.equal(in_a_block, by_hand)

one_head = {
    "blocks.1.attn.hook_z": anylens.ablate().on(head=1, pos=-1)
}  # named axes in place of [:, -1, 1] = 0
changed = lens.run_with_hooks(inputs, hooks=one_head).logits
assert torch.equal(changed[:, :-1], out.logits[:, :-1])  # nothing before the last word
assert not torch.equal(changed[:, -1], out.logits[:, -1])

# %% [markdown]
# ## Patch
#
# `patching.get_act_patch_resid_pre` is `patching_sweep` with `points="blocks.*.hook_resid_pre"`;
# `get_act_patch_attn_head_out_by_pos` is the same with `points="blocks.*.attn.hook_z", over="pos head"`. By hand, in
# place of two `invoke` blocks, keep a cache and patch from it.

# %%
king, kings = (
    lens.processor(f"today the {who} near the queen", return_tensors="pt") for who in ("king", "kings")
)
praises, praise = lens.processor.convert_tokens_to_ids(["praises", "praise"])
metric = logit_difference(praises, praise)

point = "blocks.0.hook_resid_post"
_, source = lens.run_with_cache(king, points=point)
patched = lens.run_with_hooks(kings, hooks={point: anylens.patch_from(source).on(pos=3)})

grid = patching_sweep(lens, kings, source=king, points="blocks.*.hook_resid_pre", metric=metric)
assert torch.allclose(grid.at(layer=1, pos=3), metric(patched), atol=1e-5)  # one cell of the sweep
assert grid.recovered[0, 0, 3] > 0.99  # enters at the noun
assert grid.recovered[0, 2, -1] > 0.8  # and is at the last word two layers on

# %%
fig, axes = plt.subplots(figsize=(8, 3))
image = axes.imshow(grid.recovered[0].numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
axes.set_xticks(range(7), lens.processor.convert_ids_to_tokens(king.input_ids[0]))
axes.set_yticks(range(3), [f"blocks.{n}.hook_resid_pre" for n in range(3)])
axes.set_title("Layer 1 moves the subject's number from the noun to where the verb follows")
fig.colorbar(image, label="recovered")
fig.tight_layout()

# %% [markdown]
# ## Generate
#
# `tracer.iter[:5]` is `lens.iterate(...)`, whose loop runs while the generation waits: look, edit, or leave. Where the
# loop only collects, `record` does that. A step is one call of the model; the first takes in the whole prompt.

# %%
how = {"method": "generate", "max_new_tokens": 4, "do_sample": False}
tokens, steps = lens.record(inputs, points="blocks.1.hook_resid_post", **how)
truth = seen(model.transformer.h[1], lambda: model.generate(**inputs, max_new_tokens=4, do_sample=False))
assert len(steps) == len(truth) == 4
for step, value in zip(steps, truth, strict=True):
    assert torch.equal(step["blocks.1.hook_resid_post"], value)

kinds = []
for step in lens.iterate(inputs, points="blocks.1.hook_resid_post", **how):
    kinds.append(step.kind)
    if step.index == 2:
        step.edit("blocks.1.hook_resid_post", anylens.ablate())  # in this step, and no other
print(kinds, "|", lens.processor.decode(tokens[0]))
assert kinds == ["prefill", "decode", "decode", "decode"]

# %% [markdown]
# ## Gradients, attribution, and reading halfway
#
# `grad=True` keeps the graph, and `.grad` lies on the captured value after `backward`. `cache.logit_attrs` is
# `direct_attribution`, and nnsight's `model.lm_head(model.transformer.ln_f(hidden))` is `logit_lens`.

# %%
out, cache = lens.run_with_cache(kings, points=point, grad=True)
metric(out).sum().backward()
gradient = cache[point].grad
assert gradient[0, 3].norm() > gradient[0, 1].norm()  # the noun moves the verb more than "today" does

found = direct_attribution(lens, kings, Direction(praise, away=praises), by="head")
assert torch.allclose(found.values.sum(-1), found.total, atol=1e-4)
print(found.strongest(3))

halfway = logit_lens(lens, kings)
with torch.no_grad():
    hidden = seen(model.transformer.h[1], lambda: model(**kings))[0]
    expected = model.lm_head(model.transformer.ln_f(hidden)).argsort(dim=-1, descending=True)
rank = (expected[0, -1] == praise).nonzero().item()
at = halfway.points.index("blocks.1.hook_resid_post")
assert int(halfway.ranks(praise)[at, 0, -1]) == rank
print(f'after layer 1 "praise" is in place {rank} of {expected.shape[-1]}')

# %% [markdown]
# ## What differs
#
# - **No weights are folded.** anylens runs the model as it is, as the bridge of TransformerLens does by default; there is
#   no `enable_compatibility_mode`. Analyses that lean on folded weights there, such as logit attribution, take the norms
#   from the run here.
# - **`hook_normalized` is what the norm gives out**, after its weight and bias; TransformerLens's is before them.
# - **`points` is not optional.** Only what is asked for is kept. TransformerLens caches all unless told otherwise.
# - **`hook_result` needs no switch** like `set_use_attn_result(True)`: ask for it, and it is computed for that run.
# - **Order does not matter.** In nnsight a trace is written in the order in which the model runs; here all points of a run
#   are named beforehand, and a hook that needs another point's value reads it from a cache of an earlier run.
# - **What does not happen is an error.** A name that is not there, a point that is not reached, an edit without effect.
# - **`model.to_tokens`, `to_string`, `tokens_to_residual_directions`** are not there: `lens.processor` is the tokenizer
#   or processor of transformers, and `lens.model` the model.
# - **Not there at all:** running on NDIF, vLLM, tracing into C++ kernels, training of toy models with TransformerLens's
#   own blocks, `SVDInterpreter`.
#
# ## With your model
#
# ```python
# lens = anylens.load("openai-community/gpt2")
# inputs = lens.processor("The Eiffel Tower is in the city of", return_tensors="pt")
# king, kings = (lens.processor(text, return_tensors="pt") for text in my_pair)
# ```
