"""Chains of blocks: calls in which a tensor that leaves one is a tensor that enters the next.

Calls, not modules: a model that calls one layer twelve times has a chain of twelve. Where another part adds to what one
block hands to the next, or a skip connection is joined to it, the chain ends: the next block gets another stream.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from anylens.anatomy.paths import Path, cheapest
from anylens.anatomy.trace import Call, Trace
from anylens.anatomy.vocabulary import ADDS, CONCATENATIONS
from anylens.core.tree import Key

LINK_LIMIT = 2.0  # between blocks: views, adds and at most two elementwise functions
LEAST_OPS = 2  # a block does something: a lone linear map or norm is none


@dataclass(frozen=True)
class Chain:
    """Consecutive calls, with the slots by which each hands a tensor to the next."""

    calls: tuple[Call, ...]
    slots: tuple[tuple[Key, Key], ...]  # (input key, output key) of each tensor that is handed on


def container(path: str) -> str:
    """Return the path of the module that holds this one."""
    return path.rpartition(".")[0]


def find_chains(trace: Trace) -> list[Chain]:
    """Return the chains of a trace, in the order in which they begin."""
    chains = [chain for group in _groups(trace) for chain in _link(trace, group)]
    return sorted(chains, key=lambda chain: (chain.calls[0].begin, chain.calls[0].number))


def _groups(trace: Trace) -> Iterator[list[Call]]:
    """Yield calls that could form chains: made by one call, held by one container, of one class."""
    found: dict[tuple[int, str, str], list[Call]] = defaultdict(list)
    listed: dict[tuple[int, str], list[Call]] = defaultdict(list)
    for call in trace.calls:
        if not call.path or call.end - call.begin < LEAST_OPS:
            continue
        holder = container(call.path)
        found[call.parent, holder, call.kind].append(call)
        if call.path.rpartition(".")[2].isdigit():
            listed[call.parent, holder].append(call)
    mixed = [group for group in listed.values() if len({call.kind for call in group}) > 1]
    yield from found.values()
    yield from mixed


def _link(trace: Trace, group: list[Call]) -> Iterator[Chain]:
    """Cut a group into runs of calls that hand a tensor on."""
    run = [group[0]]
    links: list[tuple[Key, Key]] = []
    for before, after in pairwise(group):
        handed = _handed_on(trace, before, after)
        if handed:
            links += handed
            run.append(after)
            continue
        yield Chain(tuple(run), _common(links))
        run, links = [after], []
    yield Chain(tuple(run), _common(links))


def _common(links: Iterable[tuple[Key, Key]]) -> tuple[tuple[Key, Key], ...]:
    """Keep one output key for each input key: the one seen most."""
    counts = Counter(links)
    best: dict[Key, Key] = {}
    for (entry, leave), _ in counts.most_common():
        best.setdefault(entry, leave)
    return tuple(best.items())


def _handed_on(trace: Trace, before: Call, after: Call) -> list[tuple[Key, Key]]:
    """Return (input key, output key) of the tensors that leave one call and enter the next."""
    own = set(before.inputs.values())
    given = {value: key for key, value in reversed(before.outputs.items()) if value not in own}
    direct = [(entry, given[value]) for entry, value in after.inputs.items() if value in given]
    if direct:
        return direct
    between = range(before.end, after.begin)
    found = []
    for entry, goal in after.inputs.items():
        for value, key in given.items():
            path = cheapest(trace, value, goal, between, LINK_LIMIT)
            if path is not None and _goes_on(trace, path, before.parent):
                found.append((entry, key))
                break
    return found


def _goes_on(trace: Trace, path: Path, parent: int) -> bool:
    """Whether a path between two blocks passes one stream on: nothing is joined to it, no other part adds to it."""
    for step in path.steps:
        computed = any(trace.maker(value) is not None for value in step.op.inputs if value != step.source)
        elsewhere = step.op.call != parent
        if step.op.function in CONCATENATIONS or (step.op.function in ADDS and elsewhere and computed):
            return False
    return True
