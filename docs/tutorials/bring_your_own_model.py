# %% [markdown]
# # Bring your own model
#
# *Which direction of a home-made recurrent network is its memory, and which block computes with it?*
#
# anylens knows no list of models. Give it any `torch.nn.Module` and an input; it watches one forward and names what it
# saw. Here the model is one that nobody has ever seen: a loop written by hand, trained in a few seconds to say after
# every bit whether the number of ones so far is odd.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn

import anylens


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, state):
        return state + self.down(torch.relu(self.up(self.norm(state))))


class Cell(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.bit = nn.Embedding(2, width)
        self.layers = nn.ModuleList(Block(width) for _ in range(2))
        self.norm = nn.LayerNorm(width)

    def forward(self, state, bit):
        state = state + self.bit(bit)
        for layer in self.layers:
            state = layer(state)
        return self.norm(state)


class Parity(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.start = nn.Parameter(torch.randn(width))
        self.cell, self.head = Cell(width), nn.Linear(width, 2)

    def forward(self, bits):
        state, said = self.start.expand(len(bits), -1), []
        for moment in range(bits.shape[1]):
            state = self.cell(state, bits[:, moment])
            said.append(self.head(state))
        return torch.stack(said, dim=1)  # batch, moment, even or odd


def parity(bits):
    return bits.cumsum(1) % 2


torch.manual_seed(0)
model = Parity()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for _ in range(150):
    bits = torch.randint(2, (64, 8))
    loss = nn.functional.cross_entropy(model(bits).flatten(0, 1), parity(bits).flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

model.eval().requires_grad_(False)
bits = torch.randint(2, (256, 16))  # twice as long as it was trained on
right = (model(bits).argmax(-1) == parity(bits)).float().mean()
print(f"right in {right:.1%} of moments")
assert right > 0.99

# %% [markdown]
# ## Attach, and see what there is
#
# `example` is any input that the model takes. Nothing about the model was said, and nothing on it is changed.

# %%
lens = anylens.attach(model, example=bits)
for name in ("hook_in", "cell.hook_in", "cell.hook_in[bit]", "cell.hook_out", "head.hook_out"):
    point = lens.points[name]
    print(f"{point.name:20s} {' '.join(point.axes):22s} {list(point.shape)}")

# %% [markdown]
# ## The loop, moment by moment
#
# The cell is called once for each bit. `step="cell"` makes its calls the steps, and `record` keeps its state at each.

# %%
state = "cell.hook_out"
answers, steps = lens.record(bits, points=state, step="cell")
states = steps.stack(state)  # moment, batch, width
odd = parity(bits).T.bool()  # moment, batch
assert torch.equal(answers, model(bits))  # reading leaves the output as it is, bit for bit

middle = (states[odd].mean(0) + states[~odd].mean(0)) / 2
memory = states[odd].mean(0) - states[~odd].mean(0)
along = (states - middle) @ memory / memory.norm() ** 2 * 2  # -1 for even, 1 for odd
told = ((along > 0) == odd).float().mean()
print(f"one direction tells odd from even in {told:.1%} of moments")
assert told > 0.99

# %%
fig, axes = plt.subplots(figsize=(8, 3))
row = 0
axes.axhline(0, color="lightgrey")
axes.plot(along[:, row], "o-", color="tab:blue")
axes.set_xticks(range(16), [f"{moment}\nbit {int(bit)}" for moment, bit in enumerate(bits[row])], fontsize=8)
axes.set_yticks([-1, 1], ["even", "odd"])
axes.set_xlabel("moment")
axes.set_ylabel("state along the direction")
axes.set_title("The memory flips with every one, and keeps with every zero")
fig.tight_layout()

# %% [markdown]
# ## Is it what the model goes by?
#
# That a direction can be read does not say that the model reads it. So turn the state around along it at moment 7, and
# leave everything else of the state alone. A hook is a function of the value and of where it is. If this is the
# memory, all answers from then on are the opposite, and none before. The control moves the state by as much along a
# random direction.


# %%
def turned(along, by):
    """A hook that moves the state to the other side of the middle, along a direction, at moment 7."""
    unit = along / along.norm()

    def hook(value, at):
        return value - 2 * by(value)[:, None] * unit if at.step == 7 else None

    return hook


def amount(value):
    return (value - middle) @ memory / memory.norm()


flipped = {}
for name, direction in {"the memory": memory, "a random direction": torch.randn(32)}.items():
    edited, _ = lens.record(bits, points=state, step="cell", hooks={state: turned(direction, amount)})
    flipped[name] = (edited.argmax(-1) != answers.argmax(-1)).float().mean(0)

assert flipped["the memory"][:7].max() == 0
assert flipped["the memory"][7:].min() > 0.95
assert flipped["a random direction"].max() < 0.2

# %%
fig, axes = plt.subplots(figsize=(8, 3))
for (name, share), colour in zip(flipped.items(), ("tab:red", "grey"), strict=True):
    axes.plot(share, "o-", label=f"turned around along {name}", color=colour)
axes.axvline(7, color="lightgrey", zorder=0)
axes.set_xlabel("moment")
axes.set_ylabel("share of answers flipped")
axes.set_title("Turned around at moment 7, the memory turns every later answer")
axes.legend(loc="center left")
fig.tight_layout()

# %% [markdown]
# ## Which block computes it?
#
# The loop's body is a model too. Attach to it alone, and its blocks have short names, in the vocabulary of
# TransformerLens, since a residual stream was seen. Hooks on it act wherever it is called, here within the whole
# model.

# %%
body = anylens.attach(model.cell, example=(states[0], bits[:, 0]))
print(body.points)

# %%
names = ["blocks.0.hook_mlp_out", "blocks.1.hook_mlp_out"]
without = {}
for name in names:
    with body.hooks({name: anylens.ablate()}):
        without[name] = (model(bits).argmax(-1) == parity(bits)).float().mean().item()
print({name: f"{share:.0%} right without it" for name, share in without.items()})
assert max(without.values()) < 0.75  # guessing is right in 50%

# %% [markdown]
# Neither can be missed. When does each act? `iterate` pauses the loop at every call of the cell, and hands over: look
# at what the step had, edit the step that is about to run, or leave.

# %%
written = []
for step in body.iterate(model, bits[:1], points=names):
    written.append([(step.cache[name] @ memory).abs().item() / memory.norm().item() for name in names])
    if step.index == 11:
        break  # ends the run

written, one = torch.tensor(written), bits[0, :12] == 1
ones, zeros = written[one].mean(0), written[~one].mean(0)
fig, axes = plt.subplots(figsize=(6, 3))
axes.bar([-0.2, 0.8], zeros.numpy(), 0.35, label="the bit is 0", color="lightgrey")
axes.bar([0.2, 1.2], ones.numpy(), 0.35, label="the bit is 1", color="tab:red")
axes.set_xticks([0, 1], ["block 0", "block 1"])
axes.set_ylabel("written along the memory")
axes.set_title("Both blocks write into the memory, above all at a one")
axes.legend()
fig.tight_layout()
assert (ones > 1.5 * zeros).all()

# %% [markdown]
# ## What errors say
#
# Nothing is skipped in silence. A name that is not there lists the nearest; one that this kind of model cannot have
# says why; a point that a run reaches again and again has no one value; an edit that never came to act is no success.


# %%
def said(call):
    try:
        call()
    except anylens.AnylensError as error:
        print(f"{type(error).__name__}: {error}\n")
        return type(error).__name__
    return None


mistakes = [
    lambda: lens.run_with_cache(bits, points="cell.hook_uot"),
    lambda: body.run_with_cache(states[0], bits[:, 0], points="blocks.0.hook_attn_out"),
    lambda: lens.run_with_cache(bits, points=state),
    lambda: lens.run_with_hooks(bits, hooks={state: anylens.add(torch.ones(31))}),
    lambda: lens.run_with_hooks(bits, hooks={state: anylens.scale(0).on(steps=[50])}),
    lambda: lens.run_with_hooks(bits, hooks={state: anylens.scale(0).on(head=3)}),
]
found = [said(mistake) for mistake in mistakes]
expected = ["UnknownPointError", "AbsentPointError", "RunError", "ShapeError", "RunError", "AxisError"]
assert found == expected

# %% [markdown]
# ## With your own
#
# Three lines change; all above goes on as it is. An example may be a tensor, a tuple, a dict or a tokenizer's output.
#
# ```python
# from my_package import MyModel
#
# model = MyModel().eval()
# lens = anylens.attach(model, example=my_input)
# ```
#
# `anylens check my_package:make_model` measures on your model what was promised here, on every point: that reading
# changes nothing, that every edit counts, that the streams add up. To give points names of your own, or to say where
# in the input a position lies, write a [family plugin](../../CONTRIBUTING.md#adding-a-family); nothing in anylens is
# edited.
