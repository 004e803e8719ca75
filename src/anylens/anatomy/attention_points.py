"""The canonical points of one attention."""

from anylens.anatomy.attention import Attention, Operand
from anylens.anatomy.draft import Draft
from anylens.anatomy.heads import View, head_views, operands, shown_shape
from anylens.anatomy.points import Point, Tap
from anylens.anatomy.taps import inside_tap, op_tap
from anylens.anatomy.trace import Op, Trace
from anylens.anatomy.vocabulary import SAME, VIEWS
from anylens.core.names import join

_NAMES = {"q": "hook_q", "k": "hook_k", "v": "hook_v", "z": "hook_z"}
_SQUARES = {"scores": "hook_attn_scores", "pattern": "hook_pattern"}


def add_attention(draft: Draft, base: str, one: Attention, batch: int | None) -> None:
    """Add the points of an attention under the name `base`."""
    views = head_views(draft.trace, one, batch)
    found = operands(one)
    for key, name in _NAMES.items():
        draft.seen(join(base, name), found[key].value, views[key], (op_tap(draft.trace, found[key]), None))
    for key, name in _SQUARES.items():
        _add_square(draft, join(base, name), (one, found[key], key), views[key])
    _add_result(draft, join(base, "hook_result"), one, views["z"])


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
    draft.points[name] = Point(name, view.axes, shape, query.dtype, tap, "canonical", None, view.layout)


def _add_result(draft: Draft, name: str, one: Attention, z: View) -> None:
    """Add what each head writes: the last map, taken head by head inside its stand-in."""
    merge = _merging_map(draft.trace, one)
    if merge is None or z.axes[-2:] != ("head", "d_head"):
        draft.lack(name, "no single linear map merges its heads")
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
    dtype = draft.trace.values[one.z.value].dtype
    draft.points[name] = Point(name, axes, (*shape[:-1], width), dtype, tap)


def _rank(trace: Trace, value: int) -> int:
    return len(trace.values[value].shape)


def _merging_map(trace: Trace, one: Attention) -> Op | None:
    """Return the linear map that reads the heads through views alone."""
    todo, seen = [one.z.value], set[int]()
    while todo:
        value = todo.pop()
        if value in seen:
            continue
        seen.add(value)
        for op in trace.readers.get(value, ()):
            weighted = any(trace.values[v].parameter and _rank(trace, v) == 2 for v in op.inputs)
            if op.function in ("linear", "addmm") and weighted:
                return op
            if op.function in VIEWS | SAME:
                todo += op.outputs
    return None
