"""The canonical points of one block: the stream, what is written to it, and the norms beside it."""

from collections import Counter

from anylens.anatomy.anatomy import mid_names
from anylens.anatomy.attention_points import add_attention
from anylens.anatomy.draft import Draft
from anylens.anatomy.feedforward import read_feedforward
from anylens.anatomy.norms import is_norm, norms_reading
from anylens.anatomy.paths import Step, blends_copies, sources
from anylens.anatomy.routing import add_routing
from anylens.anatomy.streams import Block, Sum, Write
from anylens.anatomy.taps import added_tap, module_tap, read_within
from anylens.anatomy.trace import Call, Trace
from anylens.core.axes import Axes

_TRANSITION = (
    "this block is a transition: its shortcut is itself a linear map, so nothing is added to a stream"
)


def add_block(draft: Draft, base: str, block: Block, axes: Axes) -> None:
    """Add every canonical point of a block under the name `base`."""
    _add_stream(draft, base, block, axes)
    if not block.sums:
        for name in ("attn_out", "mlp_out", "conv_out", "mixer_out", "resid_mid"):
            draft.lack(f"{base}.hook_{name}", _TRANSITION)
        return
    _add_mids(draft, base, block, axes)
    _add_carried(draft, base, block, axes)
    names = _write_names(block)
    for (one, write), suffix in names:
        _add_write(draft, base, block, (one, write, suffix), axes)
    _add_norms(draft, base, block, axes)
    add_routing(draft, base, block.call, axes)


def _add_stream(draft: Draft, base: str, block: Block, axes: Axes) -> None:
    call = block.call
    entered, left = block.entered, block.left
    given = None if block.ends else module_tap(draft.trace, call, "in", block.entry)
    draft.stream, draft.lead = entered, given
    if entered is not None:
        draft.value(f"{base}.hook_resid_pre", entered, axes, given)
    if left is None:
        return
    used = left != entered and not block.ends and read_within(draft.trace, left, call)  # an adapter, say
    out = None if block.ends or used else module_tap(draft.trace, call, "out", block.leave)
    if block.post_norms and _ends_with_norm(block):
        draft.value(f"{base}.hook_normalized_resid_post", left, axes, out)
        draft.value(f"{base}.hook_resid_post", block.sums[-1].after, axes)
    else:
        draft.value(f"{base}.hook_resid_post", left, axes, out)


def _ends_with_norm(block: Block) -> bool:
    """Whether a norm on the stream comes after the last write."""
    return block.post_norms[-1].begin > block.sums[-1].op.number


def _add_mids(draft: Draft, base: str, block: Block, axes: Axes) -> None:
    """Name the stream between writes."""
    if len(block.sums) == 1:
        why = (
            "its blocks are parallel: attention and MLP are added to the stream at once"
            if block.kind == "parallel"
            else "its blocks write to the stream once"
        )
        draft.lack(f"{base}.hook_resid_mid", why)
    between = block.sums[:-1]
    names = mid_names([frozenset(write.kind for write in one.writes) for one in between])
    for name, one in zip(names, between, strict=True):
        draft.value(f"{base}.{name}", one.after, axes)


def _add_carried(draft: Draft, base: str, block: Block, axes: Axes) -> None:
    """Name the stream as a block scales it by a number or a parameter, or blends its copies, before it adds."""
    scaled = {
        step.target
        for step in (block.path.steps if block.path else ())
        if _scales(draft.trace, step) or blends_copies(draft.trace, step.op, step.source, block.ops)
    }
    found = [one.before for one in block.sums if one.before in scaled]
    for number, value in enumerate(found):
        name = f"{base}.hook_resid_carried"
        draft.value(name if len(found) == 1 else f"{name}[{number}]", value, axes)


def _scales(trace: Trace, step: Step) -> bool:
    """Whether a step multiplies by parameters, or by what is computed from parameters alone."""
    others = [value for value in step.op.inputs if value != step.source]
    whole = range(len(trace.ops))
    return step.op.function in ("mul", "div") and all(
        trace.values[entry].parameter for value in others for entry in sources(trace, value, whole)
    )


def _write_names(block: Block) -> list[tuple[tuple[Sum, Write], str]]:
    """Number the writes of a kind where a block has several."""
    writes = [(one, write) for one in block.sums for write in one.writes]
    total = Counter(write.kind for _, write in writes)
    seen: Counter[str] = Counter()
    named = []
    for one, write in writes:
        named.append(((one, write), f"[{seen[write.kind]}]" if total[write.kind] > 1 else ""))
        seen[write.kind] += 1
    return named


def _add_write(draft: Draft, base: str, block: Block, which: tuple[Sum, Write, str], axes: Axes) -> None:
    one, write, suffix = which
    name = f"{base}.hook_{write.kind}_out{suffix}"
    if one.scaled:  # what is added exists nowhere: it is scaled in the very operation that adds it
        draft.lack(name, f"{one.scaled}, so that no tensor holds exactly what is added")
    else:
        draft.value(name, write.value, axes, added_tap(draft.trace, one.op, write.value, block.call))
    if write.attention:
        batch = None
        if block.entered is not None and "batch" in axes:
            batch = draft.trace.values[block.entered].shape[axes.index("batch")]
        for number, attention in enumerate(write.attention):
            part = f"[{number}]" if len(write.attention) > 1 else suffix
            add_attention(draft, f"{base}.{write.kind}{part}", attention, batch)
    if write.kind == "mlp":
        _add_feedforward(draft, f"{base}.mlp{suffix}", block, write, axes)


def _add_feedforward(draft: Draft, base: str, block: Block, write: Write, axes: Axes) -> None:
    found = read_feedforward(draft.trace, block.call, write)
    why = {"hook_pre": found.why_not, "hook_post": found.why_not, "hook_pre_linear": found.why_no_branch}
    values = {"hook_pre": found.pre, "hook_post": found.post, "hook_pre_linear": found.pre_linear}
    for name, value in values.items():
        if value is None:
            draft.lack(f"{base}.{name}", found.why_not or why[name])
        else:
            draft.value(f"{base}.{name}", value, _wide(draft.trace, draft.inside(write.value, axes), value))


def _wide(trace: Trace, axes: Axes, value: int) -> Axes:
    """Return the axes of a hidden layer: a linear map has its features last, a convolution where the stream has."""
    near = [trace.maker(value), *trace.readers.get(value, ())]
    if "channel" in axes and any(op is not None and op.function == "linear" for op in near):
        return (*(axis for axis in axes if axis != "channel"), "d_mlp")
    return tuple("d_mlp" if axis in ("d_model", "channel") else axis for axis in axes)


def _add_norms(draft: Draft, base: str, block: Block, axes: Axes) -> None:
    """Name the norms of a block by the write they stand before or, on the stream itself, after."""
    if block.post_norms:
        for number, norm in enumerate(block.post_norms, 1):
            _add_norm(draft, f"{base}.ln{number}.hook_normalized", norm, axes)
        return
    number = 0
    for place, one in enumerate(block.sums, 1):
        for norm in norms_reading(draft.trace, one.before, block.call):
            number += 1
            _keep_order(draft, one.before, norm)
            _add_norm(draft, f"{base}.ln{number}.hook_normalized", norm, axes)
        for write in (write for write in one.writes if write.kind != "conv"):
            for call, _ in draft.trace.given_out.get(write.value, ()):
                if is_norm(draft.trace, call) and draft.trace.within(call, block.call):
                    _add_norm(draft, f"{base}.ln{place}_post.hook_normalized", call, axes)


def _keep_order(draft: Draft, value: int, norm: Call) -> None:
    """A norm gives out its axes in the order in which it takes them."""
    shape = draft.trace.values[value].shape
    for given in norm.outputs.values():
        if value in draft.orders and draft.trace.values[given].shape == shape:
            draft.orders.setdefault(given, draft.orders[value])


def _add_norm(draft: Draft, name: str, norm: Call, axes: Axes) -> None:
    key, value = next(iter(norm.outputs.items()))
    draft.value(name, value, axes, module_tap(draft.trace, norm, "out", key))
