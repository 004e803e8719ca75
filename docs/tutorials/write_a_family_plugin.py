# %% [markdown]
# # Write a family plugin
#
# *What must be said about a model so that its points have its own names and say when in the sound they are, and does
# what is said hold?*
#
# The structure of a model is watched, so a lens works without anyone having said a word. What watching cannot show is
# what people call the parts, and where in the input a position lies. That is a **family**: one frozen value in a
# package of its own, which anylens finds when it is installed. Nothing in anylens is edited.

# %%
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import anylens
from anylens.conformance import check

# %% [markdown]
# ## The model
#
# A model with two ears. Each makes frames of 10 ms of its sound; their difference says how far to the right the source
# is. We write it into a file, as it would be in a package of yours.

# %%
SOURCE = '''
import torch
from torch import nn

RATE, FRAME = 16000, 160  # samples a second, samples a frame


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, frames):
        return frames + self.down(torch.relu(self.up(self.norm(frames))))


class Ear(nn.Module):
    def __init__(self, width, blocks):
        super().__init__()
        self.drum = nn.Linear(FRAME, width)
        self.layers = nn.ModuleList(Block(width) for _ in range(blocks))

    def forward(self, sound):
        frames = self.drum(sound.unflatten(1, (-1, FRAME)))  # batch, frame, width
        for layer in self.layers:
            frames = layer(frames)
        return frames


class Ears(nn.Module):
    def __init__(self, width=12, blocks=2):
        super().__init__()
        self.port, self.starboard = Ear(width, blocks), Ear(width, blocks)
        self.side = nn.Linear(width, 1)

    def forward(self, left, right):
        return self.side(self.starboard(right) - self.port(left))[..., 0]


def make_model():
    """The model, and an input of seven frames."""
    torch.manual_seed(0)
    sounds = torch.randn(2, 2, 7 * FRAME)
    return Ears().eval(), {"left": sounds[0], "right": sounds[1]}
'''
Path("ears.py").write_text(SOURCE)
sys.path.insert(0, ".")
from ears import FRAME, make_model

# %% [markdown]
# ## A draft
#
# `anylens new-family` watches the model and writes a package: the family, its entry point, and a test. On a command
# line it is `anylens new-family ears:make_model`.


# %%
def anylens_command(*arguments, path="."):
    """Run `anylens ...` in a process of its own, which sees the packages in some folders."""
    paths = os.pathsep.join([path, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "anylens", *arguments],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


code, said = anylens_command("new-family", "ears:make_model")
print(said)
assert code == 0

package = Path("anylens-ears/src/anylens_ears")
drafted = (package / "family.py").read_text()
print(drafted)

# %% [markdown]
# All in it was seen, and holds as it stands. Now add what only you know: `prefixes` calls the ears left and right,
# `aliases` give your own names to points, `example` reads its size off the model, and `layout` says which 10 ms a
# position is. No layout that ships fits, so we write one: a frozen dataclass with one method.

# %%
FAMILY = '''
"""The family of ears: what watching such a model cannot show."""

from dataclasses import dataclass

import torch

from anylens.families import Family, Layout, Matches, Place


@dataclass(frozen=True)
class Frames(Layout):
    """Position n is the n-th stretch of so many seconds."""

    seconds: float = 0.01

    def where(self, position, extent):
        start = position[0] * self.seconds
        return Place(f"frame {position[0]}", seconds=(start, start + self.seconds))


def example(model):
    """Two sounds for each ear, of seven frames."""
    numbers = torch.Generator().manual_seed(0)
    frame = model.port.drum.in_features
    return {ear: torch.randn(2, 7 * frame, generator=numbers) for ear in ("left", "right")}


family = Family(
    name="ears",
    matches=Matches(classes=("ears.Ears",)),
    example=example,
    prefixes={"port": "left", "starboard": "right"},
    aliases={"hears.{i}": "*.blocks.{i}.hook_resid_post"},
    layout=Frames(),
)
'''
(package / "family.py").write_text(FAMILY)
sys.path.insert(0, str(package.parent))
from anylens_ears.family import family

model, _ = make_model()
lens = anylens.attach(model, family=family)  # no example: the family makes one
print([name for name in lens.points if name.endswith("hook_resid_post")])

# %% [markdown]
# ## Does it hold?
#
# Names first: both ears' points at once by the alias. Then the layout, with a click whose time we know: the frame that
# changes most must be the one in which it was.

# %%
click = torch.zeros(1, 50 * FRAME)
when = 0.3137  # seconds
click[0, int(when * 16000)] = 8.0
quiet = torch.zeros_like(click)
_, without = lens.run_with_cache(left=quiet, right=quiet, points="hears.1")
_, heard = lens.run_with_cache(left=click, right=quiet, points="hears.1")
change = {name: (heard[name] - without[name]).norm(dim=-1)[0] for name in heard}
assert sorted(change) == ["left.blocks.1.hook_resid_post", "right.blocks.1.hook_resid_post"]
assert change["right.blocks.1.hook_resid_post"].max() == 0

frame = int(change["left.blocks.1.hook_resid_post"].argmax())
place = lens.layout.where((frame,), (50,))
print(f"the click at {when} s is in {place.label}, from {place.seconds[0]:.2f} to {place.seconds[1]:.2f} s")
assert place.seconds[0] <= when < place.seconds[1]

# %%
fig, axes = plt.subplots(figsize=(8, 3))
starts = [lens.layout.where((n,), (50,)).seconds[0] for n in range(50)]
for name, colour in (("left", "tab:blue"), ("right", "tab:orange")):
    moved = change[f"{name}.blocks.1.hook_resid_post"]
    axes.bar(starts, moved.tolist(), 0.009, align="edge", color=colour, label=f"{name} ear")
axes.axvline(when, color="tab:red", linewidth=1, label="the click")
axes.set_xlabel("seconds, as the layout says")
axes.set_ylabel("change of the stream")
axes.set_title("A click in the left ear moves the frame that the layout says, and nothing else")
axes.legend()
fig.tight_layout()

# %% [markdown]
# Then the contract: that reading changes nothing, every edit counts, the streams add up, gradients arrive, and nothing
# stays behind. These checks are the ones that anylens's own families pass; the drafted test runs them too.

# %%
report = check(lens)
for outcome in report.outcomes:
    print(f"{'ok' if outcome.ok else 'FAILED':6s} {outcome.name:20s} {outcome.count:5d} comparisons")
assert report.ok

# %% [markdown]
# ## Install it
#
# `pip install -e anylens-ears` is all, and from then on `anylens.attach(model)` finds the family by itself. What pip
# writes is a folder that says which value is the family; to leave no trace of this page, we write that by hand, beside
# the package, and look from a process that sees it.

# %%
info = package.parent / "anylens_ears-0.1.0.dist-info"
info.mkdir()
(info / "METADATA").write_text("Metadata-Version: 2.1\nName: anylens-ears\nVersion: 0.1.0\n")
entry = "[anylens.families]\nears = anylens_ears.family:family\n"
(info / "entry_points.txt").write_text(entry)
assert entry.splitlines()[1] in Path("anylens-ears/pyproject.toml").read_text().replace(
    '"', ""
)  # the draft says so

installed = os.pathsep.join([".", str(package.parent)])
code, said = anylens_command("points", "ears:make_model", path=installed)
print("\n".join(line.rstrip() for line in said.splitlines()[:9]))
assert "left.blocks.{0..1}.hook_resid_post" in said

# %% [markdown]
# ## When something is wrong
#
# A family is checked when it registers. One with a mistake is left out with a warning that names the plugin, the field,
# what was expected and what was found. All other families and models go on working.

# %%
(package / "family.py").write_text(FAMILY.replace("layout=Frames()", 'layout="frames"'))
code, said = anylens_command("points", "ears:make_model", path=installed)
warning = next(line for line in said.splitlines() if "refused" in line)
print(warning[warning.index("The family plugin") :])
assert code == 0
assert "field layout" in warning
assert "left.blocks" not in said  # the model has the names that watching gave it

# %% [markdown]
# ## With your own model
#
# ```bash
# anylens new-family my_models:make_model        # or a hub id, such as openai-community/gpt2
# python -m pytest anylens-my-model              # passes as drafted; edit, and run it again
# pip install -e anylens-my-model
# ```
#
# Further fields: `points` for values with axes of their own, `step` for the module one call of which is a step of a
# run, `stand_ins` for functions whose inside does not show. `anylens.families.Family` says what each is, and the
# [guide](../../CONTRIBUTING.md#adding-a-family) goes through them.
