"""Stream equations: the stream after an add is the stream before it plus what is written, and nothing else."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from anylens.conformance.compare import ONE, gap, near, same_bits
from anylens.conformance.report import Tally
from anylens.conformance.subject import Subject, noise, said
from anylens.conformance.values import changed_between
from anylens.conformance.witness import Seeker

WRITES = ("hook_attn_out", "hook_cross_attn_out", "hook_mlp_out", "hook_conv_out", "hook_mixer_out")
CARRIED = "hook_resid_carried"
MIDS = ("hook_resid_mid", "hook_resid_mid_cross")
Values = dict[str, torch.Tensor]
Function = Callable[[torch.Tensor], torch.Tensor]
Functions = dict[str, tuple[Function, ...]]


@dataclass(frozen=True)
class Way:
    """One block as its names tell it: the states of its stream in order, and what is written between them."""

    base: str
    states: tuple[str, ...]
    writes: tuple[str, ...]
    counts: tuple[int, ...]  # how many of these each add writes at once
    norms: tuple[
        str, ...
    ]  # what stands on the stream itself: norms, and the stream as it is scaled before an add


def ways(subject: Subject, tally: Tally) -> Iterator[Way]:
    """Yield the residual blocks; the others are exempt, and noted."""
    exempt = []
    for base, block in subject.blocks():
        names = [point.name for point in subject.of_block(base)]
        last = {name: name.removeprefix(f"{base}.") for name in names}
        writes = tuple(
            _in_turn({name: last[name] for name in names if _plain(last[name]) in WRITES}, block.writes)
        )
        mids = [name for name in names if _plain(last[name]) in MIDS]
        mids.sort(key=lambda name: block.mids.index(last[name]) if last[name] in block.mids else 0)
        states = [f"{base}.hook_resid_pre", *mids, f"{base}.hook_resid_post"]
        if block.kind == "transition" or len(writes) < max(len(block.writes), 1):
            exempt.append(base)
            continue
        norms = [f"{base}.ln{n}.hook_normalized" for n in (1, 2, 3)]
        on = tuple(name for name in norms if name in names) if block.kind == "post-norm" else ()
        on += tuple(name for name in names if _plain(last[name]) == CARRIED)
        counts = block.sums if sum(block.sums) == len(writes) else ()
        yield Way(base, tuple(states), writes, counts, on)
    if exempt:
        tally.note(
            f"exempt, as no plain add stands on their stream: {', '.join(exempt[:4])} ({len(exempt)} in all)"
        )


def _plain(name: str) -> str:
    """Return a name without the number that tells several of a kind apart."""
    return name.partition("[")[0]


def _in_turn(writes: dict[str, str], kinds: tuple[str, ...]) -> list[str]:
    """Sort writes, each with its name in the block, as the block makes them: the table has its own order."""
    of_kind: dict[str, list[str]] = {}
    for name, last in writes.items():
        of_kind.setdefault(_plain(last), []).append(name)
    turns = [found.pop(0) for kind in kinds if (found := of_kind.get(f"hook_{kind}_out"))]
    return turns + [name for rest in of_kind.values() for name in rest]


def add_up(subject: Subject, tally: Tally) -> None:
    """Check the equations on the model's own values, and with noise in the place of everything written."""
    exact = 0
    for way in ways(subject, tally):
        if not _complete(subject, tally, way):
            continue
        behind = functions_behind(subject, tally, way)
        exact += _follow(tally, way, (_alike(subject, way, subject.values), behind), "")
        try:
            values = _with_noise(subject, way)
        except Exception as error:
            tally.fail(way.base, f"with noise for its writes: {said(error)}")
            continue
        values = _alike(subject, way, values)
        if not all(one.holds(values) for one in _followed(way, values, behind)):
            behind |= functions_perhaps(subject, way)
        exact += _follow(tally, way, (values, behind), " once noise takes the place of what is written")
    if exact:
        tally.note(f"{exact} sums hold bit for bit, the others within {ONE[torch.float32]:g} (float32)")


def _complete(subject: Subject, tally: Tally, way: Way) -> bool:
    missing = [name for name in (*way.states, *way.writes) if name not in subject.values]
    for name in missing:
        tally.fail(name, "is needed for the block's stream equation, and there is no such value")
    return not missing


def _with_noise(subject: Subject, way: Way) -> Values:
    """Read a block's stream while noise stands where its writes were; the writes are then known without reading."""
    written: Values = {}

    def replace(value: torch.Tensor, at: Any) -> torch.Tensor:
        written[at.name] = noise(value)
        return written[at.name].clone()

    points = [subject.by_name[name] for name in (*way.states, *way.norms)]
    _, cache = subject.read(points, hooks=dict.fromkeys(way.writes, replace))
    return {**cache, **written}


def _steps(way: Way) -> Iterator[tuple[tuple[str, ...], list[str], str]]:
    """Yield what may be the stream before each sum, what is added, and the stream after it."""
    writes = list(way.writes)
    for number, (before, after) in enumerate(pairwise(way.states)):
        rest = len(way.states) - 2 - number  # each sum that is still to come needs a write
        most = way.counts[number] if len(way.counts) == len(way.states) - 1 else 1
        taken = writes[: most if rest else len(writes)]
        del writes[: len(taken)]
        yield (before, *way.norms), taken, after


def as_it_is(value: torch.Tensor) -> torch.Tensor:
    """Return a value unchanged."""
    return value


def functions_behind(subject: Subject, tally: Tally, way: Way) -> Functions:
    """Find the functions through which the model itself takes a sum before it is the stream."""
    found: Functions = {}
    for after, known in _sums_to(subject, way):
        if any(near(subject.values[after], one, ONE) for one in known):
            continue
        seeker = _seek(subject, known, after)
        if seeker.function is not None:
            found[after] = (seeker.function,)
            tally.note(f"{seeker.name} stands on the stream, between the last add and {after}")
    return found


def functions_perhaps(subject: Subject, way: Way) -> Functions:
    """Find the functions that may stand there too, as they leave the model's own numbers as they are.

    So relu does what is positive. It may as well stand behind the block: either way of reading the sum is allowed.
    """
    found: Functions = {}
    for after, known in _sums_to(subject, way):
        alike = [one for one in known if near(subject.values[after], one, ONE)]
        function = _seek(subject, alike, after).function if alike else None
        if function is not None:
            found[after] = (as_it_is, function)
    return found


def _sums_to(subject: Subject, way: Way) -> Iterator[tuple[str, list[torch.Tensor]]]:
    for starts, taken, after in _steps(way):
        sums = [_sum(subject.values, start, taken, subject.values[after]) for start in starts]
        yield after, [one for one in sums if one is not None]


def _seek(subject: Subject, sums: list[torch.Tensor], after: str) -> Seeker:
    seeker = Seeker(sums, subject.values[after])
    with seeker:
        subject.own()
    return seeker


@dataclass(frozen=True)
class Followed:
    """One sum of a block: whether it holds bit for bit, or how far off it is."""

    starts: tuple[str, ...]
    taken: list[str]
    after: str
    exact: bool
    away: float

    def holds(self, values: Values) -> bool:
        """Whether the sum holds but for rounding."""
        return self.exact or self.away <= ONE.get(values[self.after].dtype, 0.05)


def _followed(way: Way, values: Values, behind: Functions) -> Iterator[Followed]:
    """Follow the stream through a block."""
    for starts, taken, after in _steps(way):
        sums = [one for start in starts if (one := _sum(values, start, taken, values[after])) is not None]
        sums = [function(one) for one in sums for function in behind.get(after, (as_it_is,))]
        exact = len(taken) == 1 and any(same_bits(values[after], one) for one in sums)
        away = 0.0 if exact else min((gap(values[after], one) for one in sums), default=float("inf"))
        yield Followed(starts, taken, after, exact, away)


def _follow(tally: Tally, way: Way, what: tuple[Values, Functions], when: str) -> int:
    """Expect each sum of a block to hold, and return how many hold bit for bit."""
    values, behind = what
    exact = 0
    for one in _followed(way, values, behind):
        exact += one.exact
        seen = f"is not {one.starts[0]} plus {' and '.join(one.taken)}{when}: they differ by {one.away:.1e}"
        tally.expect(one.holds(values), one.after, seen)
    return exact


def _alike(subject: Subject, way: Way, values: Mapping[str, torch.Tensor]) -> Values:
    """Put a block's values in one order of axes, features last and positions in one dimension, where names differ."""
    axes = {name: subject.by_name[name].axes for name in (*way.states, *way.writes, *way.norms)}
    if len(set(axes.values())) == 1:
        return dict(values)
    return {name: _features_last(values[name], axes[name]) for name in axes if name in values}


def _features_last(value: torch.Tensor, axes: tuple[str, ...]) -> torch.Tensor:
    features = [number for number, axis in enumerate(axes) if axis in ("channel", "d_model")]
    if len(features) != 1 or axes[:1] != ("batch",) or value.dim() < 3:
        return value
    return value.movedim(features[0], -1).flatten(1, -2)


def _sum(values: Values, start: str, writes: list[str], after: torch.Tensor) -> torch.Tensor | None:
    """Add writes to a state, all in the shape of the state after; None if their sizes do not fit."""
    total = values[start]
    for name in writes:
        written = values[name]
        if written.numel() != total.numel():
            try:
                written = written.expand(total.shape)
            except RuntimeError:
                return None
        total = total + written.reshape(total.shape)
    return total.reshape(after.shape).to(after.dtype) if total.numel() == after.numel() else None


def removed_writes(subject: Subject, tally: Tally) -> None:
    """With one block's writes set to zero its stream stays as it was, bit for bit."""
    for way in ways(subject, tally):
        if not _complete(subject, tally, way):
            continue
        behind = functions_behind(subject, Tally(), way)
        points = [subject.by_name[name] for name in (*way.states, *way.norms)]
        try:
            _, cache = subject.read(points, hooks=dict.fromkeys(way.writes, lambda value, _: value * 0))
        except Exception as error:
            tally.fail(way.base, f"with its writes set to zero: {said(error)}")
            continue
        values = _alike(subject, way, cache)
        for starts, _, after in _steps(way):
            befores = [values[name] for name in starts]
            befores = [function(one) for one in befores for function in behind.get(after, (as_it_is,))]
            alike = any(_equal(one, values[after]) for one in befores)
            tally.expect(alike, after, f"is not {starts[0]} when nothing is written in between")


def _equal(before: torch.Tensor, after: torch.Tensor) -> bool:
    return before.numel() == after.numel() and bool((before.reshape(after.shape) == after).all())


def hand_over(subject: Subject, tally: Tally) -> None:
    """What leaves a block is what enters the next, bit for bit."""
    blocks = [base for base, _ in subject.blocks()]
    for base, following in pairwise(blocks):
        if base.rpartition(".")[0] != following.rpartition(".")[0]:
            continue
        ends = [f"{base}.hook_normalized_resid_post", f"{base}.hook_resid_post"]
        end = next((name for name in ends if name in subject.values), "")
        start = f"{following}.hook_resid_pre"
        if not end or start not in subject.values:
            tally.fail(start, f"cannot be compared with what leaves {base}: one of the two has no value")
            continue
        own, seen = subject.values[end], subject.values[start]
        alike = own.numel() == seen.numel() and same_bits(own.reshape(seen.shape), seen)
        if not alike and changed_between(subject, (base, own), (following, seen)):
            tally.note(f"the model changes the stream between {base} and {following}, in place")
            continue
        tally.expect(alike, start, f"is not {end}")
