"""What is checked: a lens, its model, and an input, with the ways to run them that the checks share.

The model alone is called through `own`, never through the lens: everything is judged against that.
"""

import copy
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from anylens.anatomy.points import Point
from anylens.conformance.compare import magnitude
from anylens.conformance.sampling import Sampling, every_nth, some_blocks
from anylens.core.errors import ConformanceError
from anylens.lens import Lens
from anylens.running.capture import Cache
from anylens.running.examples import Arguments

SEED = 20240607
MOST_BYTES = 2**28  # how much one run captures; more is read in several runs
MOST_UNREADABLE = 12


@contextmanager
def filled_memory() -> Iterator[None]:
    """Have torch fill new memory: what is read there before anything was written is then the same in every run."""
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@contextmanager
def seeded() -> Iterator[None]:
    """Start the random numbers where every run of the checks starts them, and put them back afterwards."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.default_generator.manual_seed(SEED)  # torch.manual_seed formats a stack each time, 3 ms
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(SEED)
        yield


@dataclass(frozen=True)
class Chosen:
    """The blocks of a stream in which canonical points are edited one by one."""

    prefix: str
    chosen: tuple[int, ...]
    count: int  # how many blocks with points the stream has

    @property
    def bases(self) -> list[str]:
        """The names of the chosen blocks."""
        stem = f"{self.prefix}." if self.prefix else ""
        return [f"{stem}blocks.{number}" for number in self.chosen]


class Subject:
    """A lens under check. Points come narrowed to what the checks were asked to look at."""

    def __init__(self, lens: Lens, given: Arguments, names: set[str] | None, sampling: Sampling) -> None:
        self.lens = lens
        self.model = lens.model
        self.given = given
        self.names = names
        self.sampling = sampling

    # -- points --------------------------------------------------------------------------------------------------

    def _wanted(self, points: Iterable[Point]) -> list[Point]:
        return [point for point in points if self.names is None or point.name in self.names]

    @cached_property
    def canonical(self) -> list[Point]:
        """The canonical points."""
        return self._wanted(self.lens.points.canonical.values())

    @cached_property
    def plain(self) -> list[Point]:
        """The canonical points that need no stand-in."""
        return [point for point in self.canonical if not point.needs_stand_in]

    @cached_property
    def native(self) -> list[Point]:
        """The native points that one forward reaches once."""
        return [point for point in self.native_all if self.times(point) == 1]

    @cached_property
    def native_all(self) -> list[Point]:
        """The native points, those that stand for several calls included."""
        return self._wanted(self.lens.points.native.values())

    @cached_property
    def ops(self) -> list[Point]:
        """The points of operations."""
        return self._wanted(self.lens.points.ops.values())

    @cached_property
    def by_name(self) -> dict[str, Point]:
        """The canonical points by name."""
        return {point.name: point for point in self.canonical}

    def blocks(self) -> Iterator[tuple[str, Any]]:
        """Yield the name and the record of every block of every stream."""
        for stream in self.lens.anatomy.streams:
            for number, block in enumerate(stream.blocks):
                yield ".".join(part for part in (stream.prefix, f"blocks.{number}") if part), block

    def of_block(self, base: str) -> list[Point]:
        """Return the canonical points of a block."""
        return [point for point in self.canonical if point.name.startswith(f"{base}.")]

    @cached_property
    def parts(self) -> list[Chosen]:
        """The streams, each with the blocks that `sampling` chooses."""
        found = []
        for stream in self.lens.anatomy.streams:
            stem = f"{stream.prefix}." if stream.prefix else ""
            names = {number: self._names_in(f"{stem}blocks.{number}") for number in range(len(stream.blocks))}
            chosen = some_blocks(names, self.sampling.blocks)
            found.append(Chosen(stream.prefix, tuple(chosen), sum(bool(held) for held in names.values())))
        return found

    def _names_in(self, base: str) -> frozenset[str]:
        return frozenset(point.name.removeprefix(f"{base}.") for point in self.of_block(base))

    @cached_property
    def edited(self) -> list[Point]:
        """The canonical points that are edited one by one: those outside the blocks, and in the chosen blocks."""
        skipped = {p.name for base, _ in self.blocks() for p in self.of_block(base)}
        skipped -= {p.name for part in self.parts for base in part.bases for p in self.of_block(base)}
        return [point for point in self.canonical if point.name not in skipped]

    def alone(self, points: Iterable[Point]) -> list[Point]:
        """Return those of some canonical points that are read, stood in for or written back alone."""
        edited = {point.name for point in self.edited}
        return every_nth([point for point in points if point.name in edited], self.sampling.alone)

    def times(self, point: Point) -> int:
        """Return how often one forward reaches a point: a module's own name stands for each of its calls."""
        if point.kind != "native" or point.tap.turn is not None:
            return 1
        return self.lens.anatomy.by_path[point.tap.path].calls

    # -- running -------------------------------------------------------------------------------------------------

    def fresh(self) -> Arguments:
        """Return the input anew, so that no run sees what another did to it."""
        return copy.deepcopy(self.given)

    def own(self, given: Arguments | None = None) -> Any:
        """Call the model itself, without the lens."""
        args, kwargs = self.fresh() if given is None else copy.deepcopy(given)
        with seeded(), torch.no_grad():
            return self.model(*args, **kwargs)

    @cached_property
    def output(self) -> Any:
        """What the model itself gives."""
        return self.own()

    def read(
        self,
        points: Iterable[Point],
        *,
        given: Arguments | None = None,
        hooks: Mapping[str, Any] | None = None,
        stop_early: bool = False,
    ) -> tuple[Any, Cache]:
        """Run the lens with these points captured, and hooks in place if any are given."""
        args, kwargs = self.fresh() if given is None else copy.deepcopy(given)
        names = [point.name for point in points]
        with seeded(), torch.no_grad():
            if not hooks:
                return self.lens.run_with_cache(*args, points=names, stop_early=stop_early, **kwargs)
            with self.lens.hooks(hooks):
                return self.lens.run_with_cache(*args, points=names, stop_early=stop_early, **kwargs)

    def edit(self, hooks: Mapping[str, Any]) -> Any:
        """Run the lens with hooks, and return the output."""
        args, kwargs = self.fresh()
        with seeded(), torch.no_grad():
            return self.lens.run_with_hooks(*args, hooks=hooks, **kwargs)

    def read_each(self, points: list[Point]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
        """Read points, by halves where a run fails, and return the values and the errors by name."""
        errors: dict[str, str] = {}
        values: dict[str, torch.Tensor] = {}
        todo = [points] if points else []
        while todo:
            some = todo.pop(0)
            try:
                values.update(self.read(some)[1])
            except Exception as error:
                if len(some) == 1 or len(errors) >= MOST_UNREADABLE:
                    errors.update(dict.fromkeys((point.name for point in some), said(error)))
                else:
                    half = len(some) // 2
                    todo = [some[:half], some[half:], *todo]
        return values, errors

    def batches(self, points: Iterable[Point]) -> Iterator[list[Point]]:
        """Yield points in groups whose values fit in memory together."""
        group: list[Point] = []
        size = 0
        for point in points:
            here = nbytes(point)
            if group and size + here > MOST_BYTES:
                yield group
                group, size = [], 0
            group.append(point)
            size += here
        if group:
            yield group

    @cached_property
    def values(self) -> dict[str, torch.Tensor]:
        """What the canonical points hold, read with no stand-in in place, and then with them."""
        values, _ = self.read_each(self.plain)
        inside = [point for point in self.canonical if point.needs_stand_in]
        return values | self.read_each(inside)[0]


def nbytes(point: Point) -> int:
    """How much memory a value of a point takes."""
    count = 1
    for size in point.shape:
        count *= size
    return count * 8


def noise(value: torch.Tensor) -> torch.Tensor:
    """Return what an edit adds: random numbers, the same for the same shape, no smaller than the value's own."""
    generator = torch.Generator().manual_seed(SEED + value.numel())
    drawn = torch.randn(value.shape, generator=generator).to(value.device, value.dtype)
    return drawn * max(magnitude(value), 1.0)


def changed(value: torch.Tensor) -> torch.Tensor:
    """Return another value of the same kind: noise added to floats, whole numbers in another order."""
    if value.is_floating_point():
        new = value + noise(value)
        if new.stride() == value.stride() or 0 in value.stride():
            return new
        kept = torch.empty_strided(value.shape, value.stride(), dtype=new.dtype, device=new.device)
        return kept.copy_(new)  # on other strides some functions round otherwise
    if value.dtype == torch.bool:
        return ~value
    other = value.flatten().flip(0).reshape(value.shape)
    if not value.dim() or not torch.equal(other.sort(-1).values, value.sort(-1).values):
        return other
    return torch.full_like(value, int(value.min()))  # the same choice in another order may be the same choice


def without_example(lens: Lens) -> ConformanceError:
    """Return the error for a lens that no input is known for."""
    return ConformanceError(
        f"There is no input to run {type(lens.model).__name__} on. Pass an example: a tensor, a tuple of arguments "
        "or a dict of keyword arguments."
    )


def said(error: BaseException) -> str:
    """Return an error as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"
