"""Harvest on Ray: workers that write files of rows, and a driver that hands out blocks and keeps the manifest.

Nothing but what `schedule` decides and `store.assembly` keeps: a worker that dies gives its block back, a driver that
dies leaves what was committed, and the next one goes on from there.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anylens.core.errors import AnylensError, StoreError
from anylens.core.optional import require
from anylens.core.progress import Progress
from anylens.harvest.engines import Ray
from anylens.harvest.schedule import Attempt, Schedule
from anylens.harvest.work import Begun, Made, Work, Worker
from anylens.store.assembly import Assembly, expect_same
from anylens.store.shards import inputs_per_shard
from anylens.store.storage import storage_at

LOOK = 0.5  # seconds between looks for blocks that are slow
STARTS = 3  # of a worker in a row, without a block that was made


def harvest_on_ray(engine: Ray, work: Work, *, shard_bytes: int, progress: bool | None) -> None:
    """Harvest; `anylens.harvest` says what the arguments are.

    Raises:
        MissingExtraError: Ray is not installed.
        StoreError: the work cannot be done: by these workers, from this data, into this folder.
    """
    ray = require("ray", extra="ray")
    storage = storage_at(work.to)
    storage.make()
    with storage.alone(), _cluster(ray, engine):
        crew = Crew(ray, engine, work)
        try:
            begun = crew.first()
            assembly = Assembly(storage, begun.origin)
            if assembly.manifest.complete:
                return
            if not assembly.manifest.per_shard:
                assembly.begin(inputs_per_shard(crew.bytes_of_first(), shard_bytes, begun.count))
            schedule = Schedule(assembly.missing(begun.count), rules=engine.rules)
            with Progress(f"harvest into {storage}", shown=progress) as shown:
                _fill(crew, assembly, schedule, shown)
        finally:
            crew.dismiss()
        assembly.finish()


def _fill(crew: "Crew", assembly: Assembly, schedule: Schedule, shown: Progress) -> None:
    """Have all blocks made."""
    whole, rows = max(1, schedule.left), 0
    try:
        while not schedule.done:
            crew.hand_out(schedule, assembly.manifest.per_shard)
            for attempt, made in crew.results(schedule):
                if schedule.finished(attempt, time.monotonic()):
                    _expect_there(assembly, made)
                    assembly.add(made.shard, made.columns)
                    rows += sum(made.shard.rows.values())
                    shown.tell(rows, 1 - schedule.left / whole, f", {crew.size} workers")
    finally:
        assembly.save()


def _expect_there(assembly: Assembly, made: Made) -> None:
    """Refuse to list a file that cannot be seen from here."""
    try:
        assembly.storage.size(made.shard.file)
    except OSError:
        raise StoreError(
            f"A worker wrote {made.shard.file}, and it is not in {assembly.storage} here: it is another computer's own "
            "folder. Give a folder that all of them share, or a URL."
        ) from None


class Crew:
    """The workers of a harvest: started, replaced when they die, and sent home in the end."""

    def __init__(self, ray: Any, engine: Ray, work: Work) -> None:
        self.ray, self.engine = ray, engine
        resources = {"num_cpus": engine.cpus, "num_gpus": engine.gpus}
        self._make = ray.remote(**resources, max_restarts=0)(Worker).remote
        self._work = ray.put(work)
        self.size = engine.workers or _room(ray, engine)
        self._actors: dict[int, Any] = {}
        self._ready: dict[int, bool] = {}
        self._asked: dict[Any, tuple[int, Attempt | None]] = {}  # by the reference of the answer
        self._hired = self._in_a_row = 0
        self._begun: Begun | None = None
        for _ in range(self.size):
            self._hire()

    def _hire(self) -> None:
        device = "cuda" if self.engine.gpus else ""
        actor = self._make(self._work, threads=self.engine.cpus, device=device)
        self._actors[self._hired], self._ready[self._hired] = actor, False
        self._asked[actor.begin.remote()] = (self._hired, None)
        self._hired += 1

    def first(self) -> Begun:
        """Wait for the first worker that is ready, and return what it says."""
        nothing = Schedule(())
        while self._begun is None:
            for _ in self.results(nothing):
                pass
        return self._begun

    def bytes_of_first(self) -> int:
        """Have a worker run the first input, and return the bytes of its rows."""
        actor = next(self._actors[number] for number, ready in self._ready.items() if ready)
        with _errors(self.ray):
            return int(self.ray.get(actor.bytes_of_first.remote()))

    def hand_out(self, schedule: Schedule, per_shard: int) -> None:
        """Give every worker that has nothing to do a block, if there is one for it."""
        busy = {number for number, _ in self._asked.values()}
        for number, ready in self._ready.items():
            if ready and number not in busy:
                attempt = schedule.next(number, time.monotonic())
                if attempt is not None:
                    reference = self._actors[number].make.remote(attempt.block, per_shard)
                    self._asked[reference] = (number, attempt)

    def results(self, schedule: Schedule) -> Iterator[tuple[Attempt, Made]]:
        """Wait a little, and yield the blocks that were made; what failed goes back to the schedule."""
        done, _ = self.ray.wait(list(self._asked), num_returns=1, timeout=LOOK)
        for reference in done:
            number, attempt = self._asked.pop(reference)
            try:
                answer = self.ray.get(reference)
            except self.ray.exceptions.RayTaskError as error:
                self._failed(number, attempt, schedule, error)
            except self.ray.exceptions.RayError as error:
                self._lost(number, attempt, schedule, error)
            else:
                if attempt is None:
                    self._welcome(number, answer)
                else:
                    self._in_a_row = 0
                    yield attempt, answer

    def _welcome(self, number: int, begun: Begun) -> None:
        """Take in a worker that is ready; all of them must make the same of the work."""
        self._begun = self._begun or begun
        expect_same("A worker makes other rows than the others", self._begun.origin, begun.origin)
        if begun.count != self._begun.count:
            raise StoreError(f"A worker has {begun.count} inputs, and another {self._begun.count}.")
        self._ready[number] = True

    def _failed(self, number: int, attempt: Attempt | None, schedule: Schedule, error: Any) -> None:
        """Raise what a worker raised, if it would raise it again."""
        cause = getattr(error, "cause", None)
        if isinstance(cause, AnylensError):
            raise cause from None
        if attempt is None:
            raise StoreError(f"A worker could not begin: {_line(error)}") from error
        schedule.failed(attempt, _line(error))

    def _lost(self, number: int, attempt: Attempt | None, schedule: Schedule, error: Any) -> None:
        """Replace a worker that died."""
        del self._actors[number], self._ready[number]
        self._in_a_row += 1
        if self._in_a_row > STARTS * self.size:
            raise StoreError(f"Workers die as soon as they are started: {_line(error)}") from error
        self._hire()
        if attempt is not None:
            schedule.failed(attempt, f"its worker was lost: {_line(error)}")

    def dismiss(self) -> None:
        """End all workers, those too that are still at a block which another one was quicker with."""
        for actor in self._actors.values():
            self.ray.kill(actor)
        self._actors, self._ready, self._asked = {}, {}, {}


@contextmanager
def _cluster(ray: Any, engine: Ray) -> Iterator[None]:
    """Connect to a cluster, or start one here and end it again; one that this process is connected to stays."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    here = engine.address is None and "RAY_ADDRESS" not in os.environ
    cpus = (engine.workers or 0) * engine.cpus
    started: dict[str, Any] = (
        {"address": "local", "num_cpus": max(cpus, os.cpu_count() or 1), "include_dashboard": False}
        if here
        else {"address": engine.address}
    )
    try:
        ray.init(**started, log_to_driver=False, logging_level="error")
    except Exception as error:  # Ray raises bare ones where a node does not start in time
        where = "could be started here" if here else f"is at {engine.address or os.environ['RAY_ADDRESS']}"
        raise StoreError(f"No cluster of Ray {where}: {_line(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _room(ray: Any, engine: Ray) -> int:
    """Return how many workers the cluster has room for, at least one."""
    found = ray.cluster_resources()
    by_cpu = found.get("CPU", 1) // engine.cpus
    return max(1, int(min(by_cpu, found.get("GPU", 0) // engine.gpus) if engine.gpus else by_cpu))


@contextmanager
def _errors(ray: Any) -> Iterator[None]:
    """Raise what a worker raised as it raised it."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, AnylensError):
            raise error.cause from None
        raise StoreError(f"A worker failed: {_line(error)}") from error


def _line(error: BaseException) -> str:
    """Return the last line of a message, where Ray says what it was."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
