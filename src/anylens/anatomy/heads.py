"""The axes of an attention's tensors, whatever order the model keeps them in."""

from dataclasses import dataclass, replace

import torch

from anylens.anatomy.attention import Attention, Operand
from anylens.anatomy.trace import Trace
from anylens.anatomy.vocabulary import SAME, VIEWS
from anylens.anatomy.windows import Rows
from anylens.core.axes import Axes, Layout

_VIEWS_OF_HEADS = 8  # how many views may stand between a key and its product


@dataclass(frozen=True)
class View:
    """How a tensor is shown: the names of its axes after the layout is applied."""

    axes: Axes
    layout: Layout | None = None

    @property
    def folded(self) -> bool:
        """Whether its batch comes from the run, as windows are folded into the same dimension."""
        return self.layout is not None and "batch" in dict(self.layout.sizes)


def shown_shape(shape: tuple[int, ...], view: View) -> tuple[int, ...]:
    """Return the shape that a user sees, worked out on a tensor without memory."""
    if view.layout is None:
        return shape
    return tuple(view.layout.view(torch.empty(shape, device="meta"))[0].shape)


def head_views(trace: Trace, one: Attention, rows: Rows) -> dict[str, View]:
    """Return the views of q, k, v, z, and of scores and pattern, by those names, each with its number of heads."""
    views = _plain_views(trace, one, rows)
    found = {}
    for name, operand in operands(one).items():
        shape = trace.values[operand.value].shape
        view = views[name]
        if "head" in view.axes and (view.layout is None or len(shape) == len(view.axes)):
            bare = View(view.axes, view.layout)
            if name in ("scores", "pattern"):
                shape = (*shape[:-1], 1)
            heads = shown_shape(shape, bare)[view.axes.index("head")]
            times = _repeats(trace, operand.value) if name in ("k", "v") else 1
            heads = heads // times if heads % times == 0 else heads
            layout = replace(view.layout or Layout(), heads=heads, axes=view.axes)
            view = View(view.axes, layout)
        found[name] = view
    return found if _agree(trace, one, found) else unnamed(trace, one)


def unnamed(trace: Trace, one: Attention) -> dict[str, View]:
    """Number the axes of tensors whose dimensions are not those of heads and positions."""
    ranks = {name: len(trace.values[operand.value].shape) for name, operand in operands(one).items()}
    return {name: View(tuple(f"axis{n}" for n in range(rank))) for name, rank in ranks.items()}


def _agree(trace: Trace, one: Attention, views: dict[str, View]) -> bool:
    """Whether written-out queries, keys, scores and outputs have the same heads and positions by their views.

    A sliding window keeps its chunks where others keep heads: names read off the order alone would be wrong.
    """
    if one.fused:
        return True
    sizes = {
        name: dict(
            zip(view.axes, shown_shape(trace.values[operands(one)[name].value].shape, view), strict=True)
        )
        for name, view in views.items()
    }
    q, k, z, scores = (sizes[name] for name in ("q", "k", "z", "scores"))
    pairs = [
        *((side.get("head"), scores.get("head")) for side in (q, z)),
        *((side.get("pos"), scores.get("query_pos")) for side in (q, z)),
        (k.get("pos"), scores.get("key_pos")),
    ]
    return all(left == right for left, right in pairs if left is not None and right is not None)


def _repeats(trace: Trace, value: int) -> int:
    """Return how many times each head of a key or value was repeated for the queries of its group."""
    times = 1
    for _ in range(_VIEWS_OF_HEADS):
        op = trace.maker(value)
        if op is None or op.function not in VIEWS | SAME or not op.inputs:
            break
        before, after = (torch.Size(trace.values[number].shape).numel() for number in (op.inputs[0], value))
        if op.function in ("expand", "repeat_interleave") and before:
            times *= after // before
        elif before != after:
            break
        value = op.inputs[0]
    return times


def _plain_views(trace: Trace, one: Attention, rows: Rows) -> dict[str, View]:
    """Return the views by the order of dimensions alone."""
    shape = {name: trace.values[operand.value].shape for name, operand in operands(one).items()}
    if one.first.note or one.second.note:
        return _by_letters(one, shape, rows)
    flip = not one.fused
    turned = not one.fused and one.value.position == 0
    orders = {
        "q": ("pos", "d_head"),
        "k": ("d_head", "pos") if flip else ("pos", "d_head"),
        "v": ("d_head", "pos") if turned else ("pos", "d_head"),
        "z": ("d_head", "pos") if turned else ("pos", "d_head"),
    }
    views = {name: _per_head(shape[name], order, rows) for name, order in orders.items()}
    square = shape["scores"] if not one.fused else shape["q"]
    views["scores"] = views["pattern"] = _square(square, rows)
    return views


def operands(one: Attention) -> dict[str, Operand]:
    """Return the tensors of an attention by name; those a fused one hides stand for themselves by its query."""
    found = {"q": one.query, "k": one.key, "v": one.value, "z": one.z}
    hidden = one.query if one.fused else None
    return {**found, "scores": hidden or one.scores, "pattern": hidden or one.pattern}


def leading(shape: tuple[int, ...], rows: Rows) -> tuple[list[str], list[str], dict[str, int]]:
    """Name the dimensions before the last two: in the model's order, as they are shown, and sizes needed."""
    sizes, batch = shape[:-2], rows.batch
    if len(sizes) == 1:
        heads, rest = divmod(sizes[0], batch) if batch else (1, 0)
        if rest or heads <= 1:
            return ["batch"], ["batch", "1"], {}
        return ["(batch head)"], ["batch", "head"], {"head": heads}
    names = ["batch", *(f"group{n}" if n else "group" for n in range(len(sizes) - 2)), "head"][-len(sizes) :]
    if not batch or sizes[:1] in ((batch,), (1,)):
        return names, list(names), {}
    if rows.folded:
        return ["(batch window)", *names[1:]], ["batch", "window", *names[1:]], {"batch": batch}
    names[0] = "batch_window"
    return names, list(names), {}


def _per_head(shape: tuple[int, ...], order: tuple[str, str], rows: Rows) -> View:
    """View a tensor as batch, pos, head, d_head."""
    if len(shape) < 3:
        return View(tuple(f"axis{n}" for n in range(len(shape))))
    own, seen, sizes = leading(shape, rows)
    *outer, head = seen
    pattern = f"{' '.join([*own, *order])} -> {' '.join([*outer, 'pos', head, 'd_head'])}"
    axes = (*outer, "pos", "head", "d_head")
    return View(axes, Layout(pattern, tuple(sizes.items())))


def _square(shape: tuple[int, ...], rows: Rows) -> View:
    """View scores or pattern as batch, head, query_pos, key_pos."""
    if len(shape) < 3:
        return View(tuple(f"axis{n}" for n in range(len(shape))))
    own, seen, sizes = leading(shape, rows)
    axes = (*(name if name != "1" else "head" for name in seen), "query_pos", "key_pos")
    if own == seen:
        return View(axes)
    pattern = f"{' '.join([*own, 'query_pos key_pos'])} -> {' '.join([*seen, 'query_pos key_pos'])}"
    return View(axes, Layout(pattern, tuple(sizes.items())))


def _by_letters(one: Attention, shape: dict[str, tuple[int, ...]], rows: Rows) -> dict[str, View]:
    """Read the axes off the equations of an attention written with einsum."""

    def lettered(name: str, letters: str, names: dict[str, str], positions: tuple[str, ...]) -> View:
        own = [names.get(letter, f"axis{n}") for n, letter in enumerate(letters)]
        if (
            len(own) == 3 and own[0] == "batch" and "head" not in own
        ):  # the heads are in the batch, or there is one
            if positions == ("pos",):
                order = tuple("pos" if one in ("query_pos", "key_pos") else one for one in own[1:])
                return _per_head(shape[name], (order[0], order[1]), rows)
            if tuple(own[1:]) == positions:
                return _square(shape[name], rows)
        return _lettered(own, positions)

    plain = {name: View(tuple(f"axis{n}" for n in range(len(dims)))) for name, dims in shape.items()}
    if not (one.first.note and one.second.note):
        return plain
    (left, right), out = _equation(one.first.note)
    names = _letter_names(left, right, out)
    if names is None:
        return plain
    views = {"q": lettered("q", left, names, ("pos",)), "k": lettered("k", right, names, ("pos",))}
    views["scores"] = views["pattern"] = lettered("scores", out, names, ("query_pos", "key_pos"))
    (first, second), mixed = _equation(one.second.note)
    weights, values = (first, second) if one.value.position == 1 else (second, first)
    renamed = {new: names[old] for new, old in zip(weights, out, strict=False) if old in names}
    feature = set(values) - set(weights)
    if len(weights) != len(out) or len(feature) != 1:
        return {**plain, **views}
    renamed[feature.pop()] = "d_head"
    views["v"] = lettered("v", values, renamed, ("pos",))
    views["z"] = lettered("z", mixed, renamed, ("pos",))
    return {**plain, **views}


def query_axes(one: Attention) -> Axes:
    """Return the axes of queries in the model's own order, where an einsum tells them; else none."""
    if not one.first.note:
        return ()
    (left, right), out = _equation(one.first.note)
    names = _letter_names(left, right, out)
    return tuple(names[letter].replace("query_pos", "pos") for letter in left) if names else ()


def _equation(note: str) -> tuple[tuple[str, str], str]:
    sides, _, out = note.partition("->")
    left, _, right = sides.partition(",")
    return (left, right), out


def _letter_names(left: str, right: str, out: str) -> dict[str, str] | None:
    """Name each letter of the product of queries and keys, or None where more than one could be meant."""
    feature = [letter for letter in left if letter in right and letter not in out]
    query = [letter for letter in left if letter not in right and letter in out]
    key = [letter for letter in right if letter not in left and letter in out]
    shared = [letter for letter in left if letter in right and letter in out]
    if not (len(feature) == len(query) == len(key) == 1) or len(shared) > 2:
        return None
    shared.sort(key=out.index)
    names = dict(zip(shared, ["batch", "head"], strict=False))
    return {**names, feature[0]: "d_head", query[0]: "query_pos", key[0]: "key_pos"}


def _lettered(own: list[str], positions: tuple[str, ...]) -> View:
    if positions == ("pos",):
        own = ["pos" if name in ("query_pos", "key_pos") else name for name in own]
    wanted = [name for name in ("batch", *positions[:1], "head", "d_head") if name in own]
    if positions != ("pos",):
        wanted = [name for name in ("batch", "head", *positions) if name in own]
    if sorted(wanted) != sorted(own):
        return View(tuple(own))
    return View(tuple(wanted), Layout(f"{' '.join(own)} -> {' '.join(wanted)}"))
