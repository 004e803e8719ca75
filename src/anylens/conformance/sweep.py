"""One edit at each canonical point, and everything that the checks ask about it, found out in one run."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from anylens.anatomy.points import Point
from anylens.conformance.compare import differences, same_bits, tensors
from anylens.conformance.subject import Subject, changed, noise, said
from anylens.conformance.witness import Sightings
from anylens.core.names import split_block
from anylens.running.actions import At


@dataclass(frozen=True)
class Edited:
    """What an edit at a point did."""

    error: str = ""
    calls: int = 0  # how often the edit was asked for its value
    live: bool = False  # whether the output is another
    landed: Counter[str] = field(default_factory=Counter)  # how often the model was seen to compute with what
    touched: frozenset[str] = frozenset()  # the watched points whose values changed
    kept: frozenset[str] = frozenset()  # those whose values did not


class Sweep:
    """Runs the edits, block by block, and keeps what they did."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.found: dict[str, Edited] = {}
        self._bases: dict[tuple[str, ...], dict[str, torch.Tensor]] = {}

    def at(self, point: Point) -> Edited:
        """Return what an edit at a point did."""
        if point.name not in self.found:
            self.found[point.name] = self._run(point)
        return self.found[point.name]

    def _run(self, point: Point) -> Edited:
        watched = self._watched(point)
        edit = OneEdit(point)
        try:
            base = self._base(point, watched)
            with edit.sightings, self._inside(point, edit.sightings):
                output, cache = self.subject.read(watched, hooks={point.name: edit})
        except Exception as error:
            return Edited(said(error), edit.calls)
        edit.sightings.wanted.pop("before", None)  # a cache in the output may hold it: it was filled earlier
        for tensor in tensors(output):
            edit.sightings.look(tensor)
        touched = frozenset(name for name in cache if not same_bits(base[name], cache[name]))
        live = bool(differences(base["output"], output))
        return Edited("", edit.calls, live, edit.sightings.found, touched, frozenset(cache) - touched)

    @contextmanager
    def _inside(self, point: Point, sightings: Sightings) -> Iterator[None]:
        """Have what is seen outside the block counted apart, for the stream as it enters the block.

        By its meaning an edit there is the block's: a skip connection that takes the same tensor keeps the model's own.
        """
        base, _, last = point.name.rpartition(".")
        paths = {name: block.path for name, block in self.subject.blocks() if block.parts is None}
        if last != "hook_resid_pre" or base not in paths:  # a block that is no module shares it with nothing
            yield
            return

        def entered(*_: Any) -> None:
            sightings.outside = False

        def left(*_: Any) -> None:
            sightings.outside = True

        block = self.subject.model.get_submodule(paths[base])
        handles: list[Any] = [block.register_forward_pre_hook(entered), block.register_forward_hook(left)]
        sightings.outside = True
        try:
            yield
        finally:
            sightings.outside = False
            for handle in handles:
                handle.remove()

    def _watched(self, point: Point) -> list[Point]:
        """Return what is captured beside an edit: the point's own block, and what enters and leaves the others."""
        place = split_block(point.name)
        if place is None:
            return []
        stem = place[0]
        base = f"{stem}blocks.{place[1]}"
        ends = ("hook_resid_pre", "hook_resid_post", "hook_normalized_resid_post")
        stream = [
            other
            for other in self.subject.plain
            if other.name.startswith(f"{stem}blocks.") and other.name.rpartition(".")[2] in ends
        ]
        mine = {other.name: other for other in (*self.subject.of_block(base), *stream)}
        mine.pop(point.name, None)
        return list(mine.values())

    def _base(self, point: Point, watched: list[Point]) -> dict[str, Any]:
        """Return what the watched points and the output are with the same taps and nothing edited."""
        group = [*watched, point]
        key = tuple(sorted(other.name for other in group))
        if key not in self._bases:
            output, cache = self.subject.read(group)
            self._bases = {key: {**cache, "output": output}}
        return self._bases[key]


class OneEdit:
    """An edit that knows what the model must be seen to compute with if it lands once, twice or not at all."""

    def __init__(self, point: Point) -> None:
        self.point = point
        self.sightings = Sightings(point.layout)
        self.calls = 0

    def __call__(self, value: torch.Tensor, _: At) -> torch.Tensor:
        """Change the value, and tell the sightings what to look out for."""
        self.calls += 1
        new = changed(value)
        wanted = {"once": new, "before": value}
        if value.is_floating_point():
            wanted |= {"twice": new + noise(value), "twice over": changed(new)}
        self.sightings.wanted = {name: tensor.clone() for name, tensor in wanted.items()}
        return new
