"""Rounds of parts: adds that follow each other on one stream, cut where the parts that write to it come again."""

import re
from collections.abc import Iterator
from itertools import groupby, pairwise

from anylens.anatomy.paths import Path, ancestors, cheapest, sources
from anylens.anatomy.trace import Op, Trace
from anylens.anatomy.vocabulary import ACTIVATIONS, ADDS, CHEAP_LIMIT, HEAVY

LEVELS = (0, 1, 2)  # which number in a path may tell rounds apart: that of the outermost list first
_TELLING = HEAVY | ACTIVATIONS | {"softmax"}  # what parts of different kinds differ in
_NUMBER = re.compile(r"\d+")


class Add:
    """One add of what is computed from a stream to that stream."""

    def __init__(self, trace: Trace, op: Op, before: int, made: list[Op]) -> None:
        self.op, self.before, self.after = op, before, op.outputs[0]
        made = [one for one in made if one.number >= made_behind(trace, before) and one.call >= 0]
        where = dict.fromkeys(one.call for one in made if one.function in HEAVY)
        self.paths = [trace.calls[number].path for number in where]  # where it is computed
        self.kind = frozenset(numberless(path) for path in self.paths) | {one.function for one in made}

    def numbers(self, level: int) -> tuple[str, ...] | None:
        """Return the numbers that stand in all of its paths down to a level, the outermost list's first."""
        found = {tuple(_NUMBER.findall(path)[: level + 1]) for path in self.paths}
        one = found.pop() if len(found) == 1 else ()
        return one if len(one) > level else None


Round = list[Add]


def numberless(path: str) -> str:
    """Return a path without what tells the entries of lists apart."""
    return _NUMBER.sub("#", path)


def made_behind(trace: Trace, value: int) -> int:
    """Return the number of the first operation behind the one that made a value."""
    maker = trace.values[value].maker
    return 0 if maker is None else maker + 1


def find_rounds(trace: Trace, taken: list[range]) -> Iterator[list[Round]]:
    """Yield rounds that go on from each other, outside of some ranges of operations."""
    adds = [
        add
        for op in trace.ops
        if op.function in ADDS | {"lerp"} and op.call >= 0 and not any(op.number in ops for ops in taken)
        for add in _residual(trace, op)
    ]
    for run in _runs(trace, adds):
        for rounds in _cut(run):
            yield from (held for held in _held_together(trace, rounds) if len(held) > 1 or len(held[0]) > 1)


def _residual(trace: Trace, op: Op) -> Iterator[Add]:
    """Yield an operation as the add of a computed value to what it is computed from, if it is one."""
    pair = op.inputs[:2]
    if len(op.inputs) != (3 if op.function == "lerp" else 2) or op.note:
        return
    everything, shape = range(len(trace.ops)), trace.values[op.outputs[0]].shape
    for stream, write in (pair, reversed(pair)) if op.function in ADDS else (pair,):
        for before in (stream, *_unscaled(trace, stream)):
            made = ancestors(trace, write, everything, [before])
            telling = [one for one in made.values() if one.function in _TELLING]
            heavy = any(one.function in HEAVY for one in telling)
            if not heavy or trace.values[before].shape != shape:
                continue
            if before in sources(trace, write, everything, [before]):
                yield Add(trace, op, before, telling)
                return


def _unscaled(trace: Trace, value: int) -> tuple[int, ...]:
    """Return what a value is a multiple of."""
    maker = trace.maker(value)
    return maker.inputs[:1] if maker is not None and maker.function in ("mul", "div") else ()


def _runs(trace: Trace, adds: list[Add]) -> Iterator[list[Add]]:
    """Yield adds that follow each other on one stream."""
    left = list(adds)
    while left:
        run = [left.pop(0)]
        for add in list(left):
            if leads(trace, run[-1], add) is not None:
                run.append(add)
                left.remove(add)
        if len(run) > 1:
            yield run


def leads(trace: Trace, before: Add, after: Add) -> Path | None:
    """Return the cheap way from behind one add to the stream of another."""
    between = range(before.op.number + 1, after.op.number)
    if before.after == after.before:
        return Path((), 0.0)
    return cheapest(trace, before.after, after.before, between, CHEAP_LIMIT)


def _cut(run: list[Add]) -> Iterator[list[Round]]:
    """Cut a run of adds into rounds: by the numbers that lists give their parts, else by the kinds that come again.

    A run in which nothing comes again is one round, if its parts stand in lists.
    """
    numbered = _by_number(run)
    if numbered:
        yield numbered
        return
    repeated = list(_stretches([add.kind for add in run]))
    yield from ([run[n : n + period] for n in range(start, end, period)] for start, end, period in repeated)
    held = [common(add.paths) for add in run]
    if not repeated and (_numbered(common(held)) or all(_numbered(path) for path in held)):
        yield [run]


def _numbered(path: str) -> bool:
    """Whether a path is that of an entry of a list."""
    return path.rpartition(".")[2].isdigit()


def _by_number(run: list[Add]) -> list[Round]:
    """Put adds together whose parts have the same numbers, at the innermost list whose neighbours are alike.

    Outer lists are those of stages, inner ones those of a block's parts. Where no neighbours are, the outermost list.
    """
    found = [_at_level(run, level) for level in LEVELS]
    alike = [
        rounds for rounds in found if any(_kinds(one) == _kinds(other) for one, other in pairwise(rounds))
    ]
    listed = all(any(word.isdigit() for word in path.split(".")) for add in run for path in add.paths)
    return alike[-1] if alike else found[0] if listed and len(found[0]) > 1 else []


def _at_level(run: Round, level: int) -> list[Round]:
    """Put adds together whose parts have the same numbers down to a level; nothing if some have none, or come back."""
    numbers = [add.numbers(level) for add in run]
    met = [number for number, _ in groupby(numbers)]
    if None in met or len(set(met)) < len(met):
        return []
    return [[run[n] for n, one in enumerate(numbers) if one == number] for number in met]


def _kinds(adds: list[Add]) -> list[frozenset[str]]:
    return [add.kind for add in adds]


def _held_together(trace: Trace, rounds: list[Round]) -> Iterator[list[Round]]:
    """Part rounds that the forward of one call makes from those of another."""
    for _, together in groupby(rounds, lambda adds: holders(trace, adds)):
        yield list(together)


def holders(trace: Trace, adds: list[Add]) -> list[int]:
    """Return the calls in which all of some adds are made, the outermost first."""
    return [call.number for call in trace.calls if all(trace.inside(add.op, call) for add in adds)]


def _stretches(kinds: list[frozenset[str]]) -> Iterator[tuple[int, int, int]]:
    """Yield begin, end and period of the stretches of a list that repeat their first few."""
    start = 0
    while start < len(kinds) - 1:
        period, count = _repeats(kinds[start:])
        if count > 1:
            yield start, start + period * count, period
        start += period * count


def _repeats(kinds: list[frozenset[str]]) -> tuple[int, int]:
    """Return the shortest period with which a list begins, and how often it comes; a period once, if none repeats."""
    for period in range(1, len(kinds) // 2 + 1):
        count = 1
        while kinds[count * period : (count + 1) * period] == kinds[:period]:
            count += 1
        if count > 1:
            return period, count
    return 1, 1


def common(paths: list[str]) -> str:
    """Return the longest path that holds all of these."""
    split = [path.split(".") for path in paths or [""]]
    same = 0
    for words in zip(*split, strict=False):
        if len(set(words)) > 1:
            break
        same += 1
    return ".".join(split[0][:same])
