"""State spaces: a state is what is read out, and an edit of one is there, later, and never earlier."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from anylens.conformance.compare import ONE, gap, near, same_bits
from anylens.conformance.report import Tally
from anylens.conformance.subject import Subject, noise, said


@dataclass(frozen=True)
class Part:
    """One state space: the names of its states, of how they are read out, and of what is read."""

    state: str
    C: str
    y: str


def _parts(subject: Subject, tally: Tally) -> Iterator[Part]:
    """Yield the state spaces in which points are edited one by one."""
    found = [point for point in subject.edited if point.name.endswith(".hook_state")]
    for name in (point.name for point in found if point.axes[:2] == ("batch", "pos")):
        base = name.rpartition(".")[0]
        part = Part(name, f"{base}.hook_C", f"{base}.hook_y")
        missing = [other for other in (part.C, part.y) if other not in subject.by_name]
        if missing:
            tally.note(f"{base}: has states but no {' and no '.join(missing)}, so they are not compared")
            continue
        yield part


def read_out(subject: Subject, tally: Tally) -> None:
    """What is read is C times the state, beside what bypasses the states: with edits as without."""
    for part in _parts(subject, tally):
        watched = [subject.by_name[name] for name in (part.state, part.C, part.y)]
        try:
            beside = subject.read(watched, hooks={part.state: lambda value, _: value * 0})[1][part.y]
            runs = {
                "": subject.read(watched)[1],
                " after an edit": subject.read(watched, hooks={part.state: _at_one_position})[1],
            }
        except Exception as error:
            tally.fail(part.state, said(error))
            continue
        for when, cache in runs.items():
            own = beside + _product(cache[part.state], cache[part.C]).to(beside.dtype)
            seen = cache[part.y]
            text = f"is off C times {part.state}{when} by {gap(own, seen):.1e}"
            tally.expect(near(own, seen, ONE), part.y, text)


def _product(states: torch.Tensor, C: torch.Tensor) -> torch.Tensor:
    """Return what C reads out of the states: C is for all features, or for those of a group of heads."""
    if C.dim() > 3:
        C = C.repeat_interleave(states.shape[2] // C.shape[2], 2)
    while C.dim() < states.dim():
        C = C.unsqueeze(-2)
    return (states.double() * C.double()).sum(-1)


def _at_one_position(value: torch.Tensor, _: Any = None) -> torch.Tensor:
    """Edit the states at one position, in the middle."""
    new = value.clone()
    new[:, value.shape[1] // 2] += noise(value)[:, value.shape[1] // 2]
    return new


def flow(subject: Subject, tally: Tally) -> None:
    """A state edited at one position is what it was made, changes what is read there and later states, none before."""
    for part in _parts(subject, tally):
        watched = [subject.by_name[name] for name in (part.state, part.y)]
        given: list[torch.Tensor] = []

        def edit(value: torch.Tensor, _: Any, given: list[torch.Tensor] = given) -> torch.Tensor:
            given.append(_at_one_position(value))
            return given[-1].clone()

        try:
            _, before = subject.read(watched)
            _, after = subject.read(watched, hooks={part.state: edit})
        except Exception as error:
            tally.fail(part.state, said(error))
            continue
        here = given[0].shape[1] // 2
        _judge(tally, part, here, (before, after))
        kept = same_bits(after[part.state][:, here], given[0][:, here])
        tally.expect(kept, part.state, f"is at position {here} not what an edit made it")


def _judge(tally: Tally, part: Part, here: int, runs: tuple[Any, Any]) -> None:
    before, after = runs
    said_of = f"an edit of {part.state} at position {here}"
    for name in (part.state, part.y):
        own, seen = before[name][:, :here], after[name][:, :here]
        tally.expect(near(own, seen, ONE), name, f"changed before {said_of}")
    same = torch.equal(before[part.y][:, here], after[part.y][:, here])
    tally.expect(not same, part.y, f"did not change with {said_of}")
    later = before[part.state][:, here + 1 :]
    if later.shape[1]:
        same = torch.equal(later, after[part.state][:, here + 1 :])
        tally.expect(not same, part.state, f"stays as it was behind {said_of}")
