"""The canonical points of one attention."""

from math import prod

import torch

from anylens.anatomy.attention import Attention, Operand
from anylens.anatomy.draft import Draft
from anylens.anatomy.heads import View, head_views, operands, shown_shape, unnamed
from anylens.anatomy.paths import ancestors
from anylens.anatomy.points import Point, Tap
from anylens.anatomy.taps import inside_tap, op_tap, tap_for
from anylens.anatomy.trace import Op, Trace
from anylens.anatomy.turns import turned
from anylens.anatomy.vocabulary import SAME, VIEWS
from anylens.anatomy.windows import Rows, folds_rows
from anylens.core.axes import Axes, Layout
from anylens.core.names import join

_NAMES = {"q": "hook_q", "k": "hook_k", "v": "hook_v", "z": "hook_z"}
_SQUARES = {"scores": "hook_attn_scores", "pattern": "hook_pattern"}


def add_attention(draft: Draft, base: str, one: Attention, batch: int | None) -> None:
    """Add the points of an attention under the name `base`."""
    views = head_views(draft.trace, one, _rows(draft, one, batch))
    if _over_features(draft, one):
        views = unnamed(draft.trace, one)
    found = operands(one)
    for key, name in _NAMES.items():
        tap = _tap(draft.trace, one, found[key]) if key in "qk" else op_tap(draft.trace, found[key])
        draft.seen(join(base, name), found[key].value, views[key], (tap, None))
    for key, name in _SQUARES.items():
        _add_square(draft, join(base, name), (one, found[key], key), views[key])
    _add_result(draft, join(base, "hook_result"), one, views["z"])


def _over_features(draft: Draft, one: Attention) -> bool:
    """Whether features are weighed by each other over all positions: queries then have features for positions."""
    query = draft.trace.values[one.query.value].shape
    if draft.stream is None or len(query) != 4:
        return False
    shape = draft.trace.values[draft.stream].shape
    many = {shape[1:2], shape[1:-1], shape[2:]} if len(shape) > 2 else set()
    positions = {prod(some) for some in many if some}
    features = {shape[-1], shape[1]} - {1} if len(shape) > 2 else set()
    _, heads, along, across = query
    apart = query[0] == shape[0] and heads * along in features
    return apart and across in positions and along not in positions


def _rows(draft: Draft, one: Attention, batch: int | None) -> Rows:
    """Say how the batch stands in dimension 0: windows are told from it where a block shows the batch alone."""
    known = draft.lead is not None and draft.stream is not None
    known = known and draft.trace.values[draft.stream or 0].shape[:1] == (batch,)
    return Rows(batch, known and folds_rows(draft.trace, one.query.value, batch))


def _tap(trace: Trace, one: Attention, operand: Operand) -> Tap:
    """Return the tap at an operand; where more of the scores are computed from the same value, at its source."""
    others = [
        op
        for op in trace.readers.get(operand.value, ())
        if op is not operand.op and op.call == one.softmax.call and operand.value not in op.outputs
    ]
    before = ancestors(trace, one.softmax.inputs[0], range(one.softmax.number)) if others else {}
    if operand.side == "out" or not others or not all(op.number in before for op in others):
        return op_tap(trace, operand)
    return tap_for(trace, operand.value) or op_tap(trace, operand)


def _add_square(draft: Draft, name: str, which: tuple[Attention, Operand, str], view: View) -> None:
    """Add scores or pattern: those of a fused attention exist only inside its stand-in."""
    one, operand, site = which
    if not one.fused:
        draft.seen(name, operand.value, view, (op_tap(draft.trace, operand), None))
        return
    query = draft.trace.values[one.query.value]
    keys = draft.trace.values[one.key.value].shape[-2]
    shape = shown_shape((*query.shape[:-1], keys), view)
    tap = inside_tap(draft.trace, one.first, site)
    lead = draft.lead if view.folded else None
    draft.points[name] = Point(name, view.axes, shape, query.dtype, tap, "canonical", None, view.layout, lead)


def _add_result(draft: Draft, name: str, one: Attention, z: View) -> None:
    """Add what each head writes: the last map, taken head by head inside its stand-in."""
    merge = _merging_map(draft.trace, one, z)
    if merge is None or z.axes[-2:] != ("head", "d_head"):
        draft.lack(name, "no one linear map takes all that its heads give, position by position")
        return
    weight = next(v for v in merge.inputs if draft.trace.values[v].parameter and _rank(draft.trace, v) == 2)
    sizes = draft.trace.values[weight].shape
    width = sizes[0] if merge.function == "linear" else sizes[1]
    shape = shown_shape(draft.trace.values[one.z.value].shape, z)
    if shape[-1] * shape[-2] != sizes[0] + sizes[1] - width:
        draft.lack(name, "the map behind its heads takes more than the heads")
        return
    tap = inside_tap(draft.trace, merge, "result")
    tap = Tap(tap.path, tap.side, tap.slot, tap.rule, tap.turn, tap.calls, tap.within, heads=shape[-2])
    axes = (*z.axes[:-1], "d_model")
    entering = draft.trace.values[merge.inputs[merge.function == "addmm"]].shape
    first = 2 if z.folded else 1  # the batch, and the windows that were folded into it
    if apart := _positions_apart(entering, (prod(shape[:first]), *shape[first:])):
        axes = (*z.axes[:first], *apart, *axes[-2:])
        shape = (*shape[:first], *entering[1:-1], shape[-2], width)
        dtype, layout = draft.trace.values[one.z.value].dtype, _unfolding(z, axes)
        draft.points[name] = Point(
            name, axes, shape, dtype, tap, layout=layout, lead=draft.lead if layout else None
        )
        return
    scope = draft.trace.scope(merge)
    entered = next((draft.trace.values[v].shape for v in scope.inputs.values()), ()) if scope else ()
    if not z.folded and len(entered) == len(shape) - 1:  # positions cut into pieces inside are whole again
        shape = (*entered[:-1], *shape[-2:])
    dtype = draft.trace.values[one.z.value].dtype
    layout = _unfolding(z, axes)
    lead = draft.lead if layout else None
    draft.points[name] = Point(name, axes, (*shape[:-1], width), dtype, tap, layout=layout, lead=lead)


def _positions_apart(entering: tuple[int, ...], shape: tuple[int, ...]) -> Axes:
    """Name the dimensions over which the positions of what the heads give are spread when the last map takes it."""
    spread = entering[1:-1]
    if len(shape) != 4 or len(spread) not in (2, 3) or entering[:1] != shape[:1] or prod(spread) != shape[1]:
        return ()
    return ("frame", "height", "width")[-len(spread) :]


def _unfolding(z: View, axes: Axes) -> Layout | None:
    """Return the layout that takes windows out of the batch, where they are folded into it."""
    if not z.folded or z.layout is None:
        return None
    rest = " ".join(axes[2:])
    return Layout(f"(batch window) {rest} -> batch window {rest}", z.layout.sizes)


def _rank(trace: Trace, value: int) -> int:
    return len(trace.values[value].shape)


def _size(trace: Trace, value: int) -> int:
    return torch.Size(trace.values[value].shape).numel()


def _merging_map(trace: Trace, one: Attention, view: View) -> Op | None:
    """Return the linear map that reads the heads through views alone, if these put them in the canonical order."""
    pattern = (view.layout.pattern if view.layout else "") or "->"
    pattern = pattern.replace("(batch window)", "window").replace("batch window", "window")
    source, target = pattern.replace("(", "").replace(")", "").split("->")
    todo = [(one.z.value, tuple(source.split()))]
    seen = set[int]()
    while todo:
        value, order = todo.pop()
        if value in seen:
            continue
        seen.add(value)
        for op in trace.readers.get(value, ()):
            weighted = any(trace.values[v].parameter and _rank(trace, v) == 2 for v in op.inputs)
            if op.function in ("linear", "addmm") and weighted:
                plain = [name for name in target.split() if name != "1"]
                return op if [name for name in order if name in plain] == plain else None
            if op.function in VIEWS | SAME and _size(trace, op.outputs[0]) == _size(trace, value):
                todo += [(out, turned(op, order)) for out in op.outputs]
    return None
