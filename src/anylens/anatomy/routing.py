"""A router sends each position to a few of many experts: the numbers it chooses by, its choice, and the weights."""

from collections.abc import Iterator
from dataclasses import dataclass

from anylens.anatomy.draft import Draft
from anylens.anatomy.trace import Call, Op, Trace
from anylens.anatomy.vocabulary import ADDS, ELEMENTWISE, MAPS, PRODUCTS, REDUCTIONS, SAME, VIEWS
from anylens.core.axes import Axes

_SCORING = (
    ADDS | ELEMENTWISE | REDUCTIONS | SAME | VIEWS | {"softmax", "log_softmax", "topk", "scatter", "gather"}
)
_NO_WEIGHTS = "no one module gives out the choice of experts with their weights"


@dataclass(frozen=True)
class Routing:
    """The values of one router; weights are None where they are given out by no module beside the choice."""

    logits: int
    indices: int
    weights: int | None


def find_routing(trace: Trace, call: Call) -> list[Routing]:
    """Return the routers inside a call: of those that choose in stages by the same numbers, the last choice."""
    found: dict[int, Routing] = {}
    for op in trace.ops[call.begin : call.end]:
        if op.function != "topk" or len(op.outputs) != 2:
            continue
        logits = _scored(trace, op, call)
        indices = op.outputs[1]
        if logits is not None and trace.values[indices].shape[:-1] == trace.values[logits].shape[:-1]:
            found[logits] = Routing(logits, indices, _weights(trace, indices))
    return list(found.values())


def _scored(trace: Trace, choice: Op, call: Call) -> int | None:
    """Follow what is chosen from back to the map that it was computed by."""
    todo, seen = list(choice.inputs[:1]), set[int]()
    while todo:
        value = todo.pop(0)
        op = trace.maker(value)
        if value in seen or op is None or not trace.inside(op, call):
            continue
        seen.add(value)
        weighted = any(trace.values[one].parameter for one in _sources(trace, op))
        if op.function in MAPS | PRODUCTS:
            return value if weighted else None
        if op.function in _SCORING:
            todo += op.inputs
    return None


def _sources(trace: Trace, op: Op) -> Iterator[int]:
    """Yield the operands of an operation as they were before views and casts."""
    for value in op.inputs:
        maker = trace.maker(value)
        while maker is not None and maker.function in SAME | VIEWS and maker.inputs:
            value = maker.inputs[0]
            maker = trace.maker(value)
        yield value


def _weights(trace: Trace, indices: int) -> int | None:
    """Return the floating value of the choice's shape that the same module gives out."""
    for call, _ in trace.given_out.get(indices, ()):
        for value in call.outputs.values():
            same = trace.values[value].shape == trace.values[indices].shape
            if same and "float" in trace.values[value].dtype:
                return value
    return None


def add_routing(draft: Draft, base: str, call: Call, axes: Axes) -> None:
    """Add the points of the routers in a block."""
    found = find_routing(draft.trace, call)
    for number, one in enumerate(found):
        mlp = f"{base}.mlp[{number}]" if len(found) > 1 else f"{base}.mlp"
        draft.value(f"{mlp}.hook_router_logits", one.logits, (*axes[:-1], "expert"))
        draft.value(f"{mlp}.hook_expert_indices", one.indices, (*axes[:-1], "choice"))
        if one.weights is None:
            draft.lack(f"{mlp}.hook_expert_weights", _NO_WEIGHTS)
        else:
            draft.value(f"{mlp}.hook_expert_weights", one.weights, (*axes[:-1], "choice"))
