"""Experts: each has what it is sent and nothing else, and what they give is mixed by the weights of the choice."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from anylens.anatomy.points import Point
from anylens.conformance.compare import ONE, gap, near
from anylens.conformance.report import Tally
from anylens.conformance.subject import Subject, noise, said

PARTS = {
    "in": "hook_expert_in",
    "out": "hook_expert_out",
    "indices": "hook_expert_indices",
    "weights": "hook_expert_weights",
}


@dataclass(frozen=True)
class Part:
    """One mixture: its points by what they are, and what leaves the module of its experts."""

    points: dict[str, Point]
    whole: Point

    def name(self, key: str) -> str:
        """Return the name of a point."""
        return self.points[key].name

    def of(self, cache: Any) -> dict[str, torch.Tensor]:
        """Return the values out of a cache, positions of all rows in one dimension."""
        values = {key: cache[point.name].flatten(0, 1) for key, point in self.points.items()}
        return {**values, "whole": cache[self.whole.name].reshape(-1, self.whole.shape[-1])}


def _parts(subject: Subject, tally: Tally) -> Iterator[Part]:
    """Yield the mixtures in which points are edited one by one."""
    for point in subject.edited:
        base, _, last = point.name.rpartition(".")
        if last != PARTS["out"]:
            continue
        names = {key: f"{base}.{name}" for key, name in PARTS.items()}
        missing = [name for name in names.values() if name not in subject.by_name]
        if missing:
            tally.note(
                f"{base}: shows its experts but no {' and no '.join(missing)}, so they are not compared"
            )
            continue
        whole = subject.lens.points[f"{point.tap.path}.hook_out"]
        yield Part({key: subject.by_name[name] for key, name in names.items()}, whole)


def mixed(subject: Subject, tally: Tally) -> None:
    """What the experts give together is the sum of each one's output times its weight; the others have zeros."""
    for part in _parts(subject, tally):
        try:
            cache = subject.read([*part.points.values(), part.whole])[1]
        except Exception as error:
            tally.fail(part.name("out"), said(error))
            continue
        values = part.of(cache)
        _zeros(tally, part, values)
        chosen = values["indices"][..., None].expand(-1, -1, values["out"].shape[-1])
        taken = values["out"].gather(1, chosen).double() * values["weights"][..., None].double()
        own, seen = taken.sum(1).to(values["whole"].dtype), values["whole"]
        text = f"is off the weighted sum of {part.name('out')} by {gap(own, seen):.1e}"
        tally.expect(near(own, seen, ONE), part.whole.name, text)


def _zeros(tally: Tally, part: Part, values: dict[str, torch.Tensor]) -> None:
    idle = torch.ones(values["out"].shape[:2], dtype=torch.bool, device=values["out"].device)
    idle.scatter_(1, values["indices"], False)
    for key in ("in", "out"):
        tally.expect(
            not bool(values[key][idle].any()), part.name(key), "has numbers for experts that were not chosen"
        )


def alone(subject: Subject, tally: Tally) -> None:
    """An edit of what one expert takes or gives at one position changes the mixture there and nowhere else."""
    for part in _parts(subject, tally):
        try:
            before = part.of(subject.read([*part.points.values(), part.whole])[1])
            expert = int(before["indices"][-1, 0])
            for key in ("in", "out"):
                after = part.of(
                    subject.read([*part.points.values(), part.whole], hooks=_one(part, key, expert))[1]
                )
                _judge(tally, part, (key, expert), (before, after))
        except Exception as error:
            tally.fail(part.name("out"), said(error))


def _one(part: Part, key: str, expert: int) -> dict[str, Any]:
    """Return a hook that edits one expert at the last position of the last row."""

    def edit(value: torch.Tensor, _: Any) -> torch.Tensor:
        new = value.clone()
        new[-1, -1, expert] += noise(value)[-1, -1, expert]
        return new

    return {part.name(key): edit}


def _judge(tally: Tally, part: Part, what: tuple[str, int], runs: tuple[Any, Any]) -> None:
    (key, expert), (before, after) = what, runs
    said_of = f"an edit of expert {expert} at the last position of {part.name(key)}"
    same = near(before["whole"][:-1], after["whole"][:-1], ONE)
    tally.expect(same, part.whole.name, f"changed at other positions with {said_of}")
    moved = not torch.equal(before["whole"][-1], after["whole"][-1])
    tally.expect(moved, part.whole.name, f"did not change with {said_of}")
    if key == "in":
        others = [n for n in range(before["out"].shape[1]) if n != expert]
        same = near(before["out"][-1, others], after["out"][-1, others], ONE)
        tally.expect(same, part.name("out"), f"changed for other experts with {said_of}")
