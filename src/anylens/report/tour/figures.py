"""The tour's figures: from what was found to pictures."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anylens.report.board import TICKS, Board, bar, on_heat, scale
from anylens.report.theme import HEAT, Theme, figure
from anylens.report.tour.ablation import WORDS
from anylens.report.tour.findings import Findings
from anylens.report.tour.material import Material
from anylens.report.tour.patching import GROUPS, Patching
from anylens.report.tour.steering import STRENGTHS, Rates

Draw = Callable[[Findings, Material, Theme], Any]


GAMMA = 0.5  # of the colour scale where single patches hold little: small values stay visible


def attention(found: Findings, material: Material, theme: Theme) -> Any:
    """Pictures down, layers across: attention from the class token, mean over the heads."""
    maps = found.looking.gallery.mean(2)
    count, layers = maps.shape[:2]
    board, drawn = _board(layers + 1, count, theme, top=_top(maps), label="attention to one patch")
    for row in range(count):
        board.picture(0, row, material.gallery.pixels[row])
        for layer in range(layers):
            board.heat(layer + 1, row, maps[row, layer], material.gallery.mask[row])
    _titles(board, ["picture", *(f"layer {layer}" for layer in range(layers))])
    return drawn


def heads(found: Findings, material: Material, theme: Theme) -> Any:
    """Heads down, layers across: attention from the class token in the first picture."""
    maps = found.looking.gallery[0]
    layers, count = maps.shape[:2]
    board, drawn = _board(layers + 0.75, count, theme, top=_top(maps), label="attention to one patch")
    for head in range(count):
        board.write(0, head, f"head {head}", at=(0.62, 0.5), ha="right")
        for layer in range(layers):
            board.heat(layer + 0.7, head, maps[layer, head], material.gallery.mask[0])
    for layer in range(layers):
        board.write(layer + 0.7, 0, f"layer {layer}", at=(0.5, -0.14))
    return drawn


def _board(columns: float, rows: int, theme: Theme, *, top: float, label: str) -> tuple[Board, Any]:
    """Return a figure of panels with a line for titles above them and the scale of colour below."""
    width, height = columns * 1.1, rows * 1.1
    inch = 8.0 / width
    drawn = figure(8.0, (height + 1.0) * inch, layout=None)
    board = Board(drawn, (0.05, 0.3, width - 0.1, height), theme, top=top, inch=inch)
    bar(drawn, (0.36, 0.46 / (height + 1.0), 0.3, 0.1 / (height + 1.0)), top=top, label=label)
    return board, drawn


def _titles(board: Board, titles: list[str]) -> None:
    for column, title in enumerate(titles):
        board.write(column, 0, title, at=(0.5, -0.14))


def stages(patching: Patching) -> list[str]:
    """Return short names for the points along the stream."""
    last = len(patching.grid.coordinates["point"]) - 1
    return ["embedding", *(f"after {n}" for n in range(last))]


def over_picture(found: Findings, material: Material, theme: Theme) -> Any:
    """The two pictures, and for each point of the stream what every patch recovers, in its place."""
    values = found.patching.grid.recovered[0]
    width = (len(values) + 1.15) * 1.1
    inch = 8.0 / width
    drawn = figure(8.0, 3.45 * inch, layout=None)
    board = Board(drawn, (0.0, 0.3, width, 2.2), theme, inch=inch, gamma=GAMMA)
    for row, (side, title) in enumerate(((material.clean, "clean"), (material.corrupted, "corrupted"))):
        board.picture(0.05, row * 1.14, side.pixels[0])
        board.write(0.05, row * 1.14, title, at=(0.5, -0.14))
    for column, title in enumerate(stages(found.patching)):
        board.heat(column + 1.2, 0, values[column, 1:], material.clean.mask[0])
        board.write(column + 1.2, 0, title, at=(0.5, -0.14))
        board.number(column + 1.2, 1.14, values[column, 0].item())
    board.write(1.2, 1.14, "class token, alone", at=(0.22, 0.72), ha="left")
    bar(drawn, (0.36, 0.145, 0.34, 0.035), top=1, label="logit difference recovered", gamma=GAMMA)
    return drawn


def grid(found: Findings, material: Material, theme: Theme) -> Any:
    """Layer by position: the class token, then the object's patches, then the background's."""
    values = found.patching.grid.recovered[0]
    inside = found.patching.covered.nonzero().flatten() + 1
    outside = (~found.patching.covered).nonzero().flatten() + 1
    order = torch.cat([torch.tensor([0]), inside, outside])
    widths = torch.ones(len(order))
    widths[0] = 3.5  # the class token, wide enough to be seen
    edges = torch.cat([torch.zeros(1), widths.cumsum(0)])
    ends = edges[[0, 1, 1 + len(inside), len(order)]].tolist()
    drawn = figure(8.0, 3.1)
    axes = drawn.subplots()
    rows = torch.arange(len(values) + 1) - 0.5
    image = axes.pcolormesh(
        edges.numpy(), rows.numpy(), values[:, order].numpy(), cmap=HEAT, norm=scale(1, GAMMA)
    )
    axes.set_yticks(range(len(values)), stages(found.patching))
    axes.invert_yaxis()
    for end in ends[1:3]:
        axes.axvline(end, color=theme.page, linewidth=4)
    names = [
        "class\ntoken",
        f"{len(inside)} patches\nof the object",
        f"{len(outside)} patches of the background",
    ]
    axes.set_xticks([(a + b) / 2 for a, b in pairwise(ends)], names)
    _flat(axes)
    _bar(drawn, image, axes, "logit difference\nrecovered", ticks=TICKS)
    return drawn


def groups(found: Findings, material: Material, theme: Theme) -> Any:
    """What each group of positions recovers at each point of the stream, over all pairs."""
    patching = found.patching
    drawn = figure(8.0, 3.3)
    axes = drawn.subplots()
    where = range(len(patching.means))
    _group_lines(axes, patching, theme)
    axes.set_xticks(where, stages(patching))
    axes.set(ylabel="logit difference\nrecovered")
    axes.legend(loc="center right", frameon=False)
    return drawn


def _group_lines(axes: Any, patching: Patching, theme: Theme) -> None:
    where = range(len(patching.means))
    for number, (name, style) in enumerate(zip(GROUPS, ("-o", "-s", "--"), strict=True)):
        each = patching.groups[:, :, number]
        low, high = each.quantile(0.1, 0), each.quantile(0.9, 0)
        axes.fill_between(where, low, high, color=theme.lines[number], alpha=0.18, lw=0)
        axes.plot(where, patching.means[:, number], style, color=theme.lines[number], label=name)
    axes.set(ylim=(-0.12, 1.12), yticks=[0, 0.5, 1])
    axes.grid(axis="y")


def steering(found: Findings, material: Material, theme: Theme) -> Any:
    """Left, by layer; right, by strength at the best layer."""
    steered = found.steering
    drawn = figure(8.0, 3.6)
    left, right = drawn.subplots(1, 2, sharey=True)
    _rates(left, range(len(steered.by_layer["own"])), steered.by_layer, theme)
    left.set(xlabel="layer after which it is added", ylabel=f"share of {material.origin} pictures")
    left.set_title("by layer, strength 1")
    _rates(right, STRENGTHS, steered.by_strength, theme)
    right.set(xlabel="times the vector", title=f"by strength, after layer {steered.layer}")
    names = [name.format(target=material.target) for name in LINES]
    drawn.legend(right.lines[:4], names, loc="outside lower center", ncols=2, frameon=False)
    return drawn


LINES = (
    "vector for their shape: named {target}",
    "vector for their shape: shape right",
    "one vector for all shapes: named {target}",
    "random vector: named {target}",
)


def _rates(axes: Any, where: Any, edits: dict[str, tuple[Rates, ...]], theme: Theme) -> None:
    axes.plot(where, [r.target for r in edits["own"]], "-o", color=theme.lines[1])
    axes.plot(where, [r.shape for r in edits["own"]], ":D", color=theme.lines[1], mfc=theme.page, lw=1.6)
    axes.plot(where, [r.target for r in edits["shared"]], "-s", color=theme.lines[0])
    axes.plot(where, [r.target for r in edits["random"]], "--", color=theme.lines[2])
    axes.set(ylim=(-0.04, 1.06), yticks=[0, 0.5, 1], yticklabels=["0%", "50%", "100%"], xticks=list(where))
    axes.grid(axis="y")


def ablation(found: Findings, material: Material, theme: Theme) -> Any:
    """Layer by head: what the loss of each head costs the colour and the shape."""
    cost = found.ablation.cost
    drawn = figure(8.0, 3.6)
    both = drawn.subplots(1, len(WORDS), sharey=True)
    top = cost.max().item()
    for word, axes in enumerate(both):
        image = axes.imshow(cost[..., word].numpy(), cmap=HEAT, vmin=0, vmax=top, aspect="auto")
        for (layer, head), value in np.ndenumerate(cost[..., word].numpy()):
            text = f"{value:.2f}".replace("-0.00", "0.00")
            axes.text(head, layer, text, ha="center", va="center", fontsize=9, color=on_heat(value / top))
        axes.set(title=f"cost to the {WORDS[word]}", xticks=range(cost.shape[1]), xlabel="head")
        _flat(axes)
    both[0].set(yticks=range(len(cost)), ylabel="layer")
    _bar(drawn, image, both, "loss added, nats")
    return drawn


def overview(found: Findings, material: Material, theme: Theme) -> Any:
    """One picture of it all: where the model looks, where the colour sits, when it moves, what an edit does."""
    drawn = figure(8.8, 5.2, layout=None)
    _overview_looking(drawn, found, material, theme)
    _overview_patching(drawn, found, material, theme)
    left, right = (drawn.add_axes((x, 0.105, 0.405, 0.32)) for x in (0.075, 0.58))
    _group_lines(left, found.patching, theme)
    left.set(title="the colour moves to the class token", ylabel="recovered", xlabel="after layer")
    left.set_xticks(
        range(len(found.patching.means)), ["start", *map(str, range(len(found.patching.means) - 1))]
    )
    left.legend(frameon=False, fontsize=8.5, loc="center right", bbox_to_anchor=(1.02, 0.47))
    _rates(right, range(len(found.steering.by_layer["own"])), found.steering.by_layer, theme)
    right.set(title=f"a vector turns {material.origin} into {material.target}", xlabel="added after layer")
    names = [f"named {material.target}", "shape still right", "one vector for all shapes", "random vector"]
    right.legend(
        right.lines[:4], names, frameon=False, fontsize=8.5, loc="center right", bbox_to_anchor=(1, 0.4)
    )
    return drawn


def _overview_looking(drawn: Any, found: Findings, material: Material, theme: Theme) -> None:
    layer = int(found.looking.by_layer.argmax())
    maps = found.looking.gallery[:4, layer].mean(1)
    board = Board(drawn, (0.12, 0.4, 4.3, 2.2), theme, top=_top(maps), inch=0.95)
    board.write(0, 0, f"where it looks to answer (layer {layer})", at=(0, -0.2), ha="left")
    for column in range(len(maps)):
        board.picture(column, 0, material.gallery.pixels[column])
        board.heat(column, 1, maps[column], material.gallery.mask[column])


def _overview_patching(drawn: Any, found: Findings, material: Material, theme: Theme) -> None:
    values = found.patching.grid.recovered[0]
    board = Board(drawn, (4.85, 0.4, 4.3, 2.2), theme, inch=0.95, gamma=GAMMA)
    board.write(0, 0, f"where {material.origin} sits in a {material.origin} star", at=(0, -0.2), ha="left")
    for column, stage in enumerate(torch.linspace(0, len(values) - 1, 4).round().int().tolist()):
        board.heat(column, 0, values[stage, 1:], material.clean.mask[0])
        board.number(column, 1.0, values[stage, 0].item())
        board.write(column, 1, stages(found.patching)[stage], at=(0.5, 0.74))
    board.write(0, 1, "squares: class token", at=(0, 0.95), ha="left", fontsize=9, color=theme.muted)


FIGURES: dict[str, Draw] = {
    "overview": overview,
    "attention": attention,
    "heads": heads,
    "patching_over_picture": over_picture,
    "patching_grid": grid,
    "patching_groups": groups,
    "steering": steering,
    "ablation": ablation,
}


def _top(maps: Tensor) -> float:
    """Return where the colour scale ends: above nearly all values, so that one patch does not darken the rest."""
    return maps.flatten().quantile(0.995).item()


def _bar(drawn: Any, image: Any, cells: Any, label: str, *, ticks: Any = None) -> None:
    bar = drawn.colorbar(image, ax=cells, shrink=0.8, pad=0.015, aspect=28, ticks=ticks)
    bar.set_label(label)
    bar.outline.set_visible(False)


def _flat(axes: Any) -> None:
    """Take the frame and the marks off a map."""
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
