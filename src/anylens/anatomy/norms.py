"""Normalisation, by what it computes: a norm function, or a mean square written out, and no linear map."""

from anylens.anatomy.paths import Path
from anylens.anatomy.trace import Call, Trace
from anylens.anatomy.vocabulary import HEAVY, NORMS

_WRITTEN_OUT = frozenset("rsqrt sqrt var std var_mean norm vector_norm".split())
MOST_OPS = 24


def is_norm(trace: Trace, call: Call) -> bool:
    """Whether a call normalises and does nothing else."""
    ops = trace.ops[call.begin : call.end]
    if not 0 < len(ops) <= MOST_OPS or any(op.function in HEAVY for op in ops):
        return False
    return any(op.function in NORMS or op.function in _WRITTEN_OUT for op in ops)


def norms_on(trace: Trace, call: Call, path: Path) -> tuple[Call, ...]:
    """Return the norms inside a call that a path passes through, the outermost module of each, in order."""
    found: list[Call] = []
    values = path.values
    for inner in trace.calls:
        passes = values & set(inner.inputs.values()) and values & set(inner.outputs.values())
        if inner.number == call.number or not passes or not trace.within(inner, call):
            continue
        if is_norm(trace, inner) and not any(trace.within(inner, outer) for outer in found):
            found.append(inner)
    return tuple(found)


def norms_reading(trace: Trace, value: int, call: Call) -> list[Call]:
    """Return the norms inside a call that take a value, the outermost module of each."""
    found: list[Call] = []
    for inner, _ in trace.taken_in.get(value, ()):
        if inner.number == call.number or not trace.within(inner, call) or not is_norm(trace, inner):
            continue
        if not any(trace.within(inner, outer) for outer in found):
            found.append(inner)
    return found
