"""The inside of an MLP: what enters its activation, what enters its last map."""

from dataclasses import dataclass
from math import prod

from anylens.anatomy.paths import behind_views
from anylens.anatomy.streams import Write
from anylens.anatomy.trace import Call, Op, Trace
from anylens.anatomy.vocabulary import ACTIVATIONS, ADDS, ELEMENTWISE, MAPS, NORMS, SAME, VIEWS

_SCALES = frozenset({"mul", "div", "add", "neg", "setitem"})  # these alone make no activation
_WALK = ELEMENTWISE | ADDS | SAME | NORMS | frozenset({"view", "reshape"})
_BEYOND_LAST = ELEMENTWISE | ADDS | VIEWS | SAME | NORMS


@dataclass(frozen=True)
class FeedForward:
    """The values of an MLP by their canonical names, and why one is missing."""

    pre: int | None = None
    post: int | None = None
    pre_linear: int | None = None
    why_not: str = ""
    why_no_branch: str = "its MLP has no gate: one linear map feeds the activation"


def read_feedforward(trace: Trace, call: Call, write: Write) -> FeedForward:
    """Follow a write back to its last linear map, and from there through the activation to the first."""
    last = _last_map(trace, call, write.value)
    if last is None:
        return FeedForward(
            why_not="what its MLP writes is mixed from several maps, so no one tensor enters the last"
        )
    post = behind_views(trace, last.inputs[1 if last.function == "addmm" else 0], SAME | {"view", "reshape"})
    branches = _branches(trace, call, post)
    active = [value for value, functions in branches.items() if functions - _SCALES]
    idle = [value for value, functions in branches.items() if not functions - _SCALES]
    if len(active) != 1 or not branches[active[0]] & (ACTIVATIONS | {"exp", "pow"}):
        return FeedForward(post=post, why_not="no one tensor enters the activation of its MLP")
    if any("glu" in functions for functions in branches.values()):
        why = "gate and up projection are fused: one function takes both halves, so there is no separable branch"
        return FeedForward(active[0], post, None, why_no_branch=why)
    return FeedForward(active[0], post, idle[0] if len(idle) == 1 else None)


def _last_map(trace: Trace, call: Call, value: int) -> Op | None:
    """Return the linear map nearest to a value that is written, if one alone leads to it."""
    for _ in range(16):
        op = trace.maker(value)
        if op is None or not trace.inside(op, call):
            return None
        if op.function in MAPS:
            return op
        if op.function not in _BEYOND_LAST or not op.inputs:
            return None
        computed = [source for source in op.inputs if trace.values[source].maker is not None]
        # a gate on what is written, often one for all positions: follow the operand that comes from a map
        whole = [v for v in computed if trace.values[v].shape == trace.values[value].shape]
        whole = whole or sorted(computed, key=lambda v: -prod(trace.values[v].shape))
        value = next((v for v in whole[1:] and whole if _nearest_is_map(trace, v)), [*whole, *op.inputs][0])
    return None


def _nearest_is_map(trace: Trace, value: int) -> bool:
    op = trace.maker(behind_views(trace, value, SAME | VIEWS))
    return op is not None and op.function in MAPS


def _branches(trace: Trace, call: Call, post: int) -> dict[int, set[str]]:
    """Return the values that elementwise functions turn into `post`, each with the functions on its way."""
    found: dict[int, set[str]] = {}
    todo: list[tuple[int, frozenset[str]]] = [(post, frozenset())]
    seen = set()
    while todo:
        value, functions = todo.pop()
        if (value, functions) in seen:
            continue
        seen.add((value, functions))
        op = trace.maker(value)
        given = value in trace.given_out and functions  # a module's output, whatever views it ends with
        if (
            op is not None
            and trace.inside(op, call)
            and op.function in _WALK
            and not (given and op.function in VIEWS)
        ):
            met = functions if op.function in SAME | VIEWS else functions | {op.function}
            todo += [(source, met) for source in op.inputs]
        elif not trace.values[value].parameter and op is not None:
            found.setdefault(value, set()).update(functions)
    return found
