"""A harvest by hundreds of workers, some slow and some dying, under a driver that is killed; in a second, not in hours.

Real are the decisions (`anylens.harvest.schedule`) and the manifest (`anylens.store.assembly`), files found by their
names included. Made up are the clock, the workers and what a file holds: its header is there, its rows are not.
"""

import hashlib
import heapq
import json
import random
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

from anylens.harvest.on_ray import LOOK
from anylens.harvest.schedule import Attempt, Schedule
from anylens.store.assembly import Assembly
from anylens.store.manifest import NAME, Column, Manifest, Shard
from anylens.store.storage import Storage

POINT = "blocks.16.hook_resid_post"
ORIGIN = {"model": "simulated"}


@dataclass(frozen=True)
class Plan:
    """What is simulated; times in seconds.

    Attributes:
        block_seconds: of a block by a usual worker, network included; each varies by `spread`.
        slow_workers, slowness: the share of slow workers, and how many times as long they take.
        stalls: the share of blocks at which a worker stalls for good and is lost only with the harvest.
        worker_life: the mean time until a worker dies; `start` until its successor is ready.
        driver_deaths: when the driver is killed; `start` until everybody is ready again.
        driver_seconds: of the driver for a block.
    """

    workers: int = 256
    blocks: int = 2000
    rows: int = 8192
    width: int = 4096
    block_seconds: float = 30.0
    spread: float = 0.15
    slow_workers: float = 0.02
    slowness: float = 5.0
    stalls: float = 0.0005
    worker_life: float = 6 * 3600.0
    start: float = 120.0
    driver_deaths: tuple[float, ...] = ()
    driver_seconds: float = 0.003
    seed: int = 0


@dataclass
class Kept(Storage):
    """Files of which only the headers are there, and what was asked of the storage."""

    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    manifests: int = 0
    manifest_bytes: int = 0

    def make(self) -> None:
        """Do nothing."""

    def names(self) -> list[str]:
        """List the files."""
        return sorted(self.files)

    def read(self, name: str, start: int | None = None, stop: int | None = None) -> bytes:
        """Read of a header."""
        if name not in self.files:
            raise FileNotFoundError(name)
        return self.files[name][0][start:stop]

    def write(self, name: str, content: bytes) -> None:
        """Keep a file, such as the manifest."""
        self.files[name] = content, len(content)
        self.manifests += name == NAME
        self.manifest_bytes += len(content) * (name == NAME)

    def remove(self, name: str) -> None:
        """Forget a file."""
        self.files.pop(name, None)

    def size(self, name: str) -> int:
        """Return the size that the file would have."""
        return self.files[name][1]

    def alone(self) -> Any:
        """Lock nothing."""
        return nullcontext()

    def __str__(self) -> str:
        return "simulated"


@dataclass(frozen=True)
class Outcome:
    """What came of it. Blocks listed twice, and blocks missing, must be none."""

    hours: float
    ideal_hours: float
    missing: int
    twice: int
    lost: int
    doubled: int
    workers_died: int
    taken_up: int
    manifests: int
    manifest_bytes: int
    manifest_size: int
    driver_busy: float

    @property
    def efficiency(self) -> float:
        """The time that usual workers that never fail would take, as a share of the time taken."""
        return self.ideal_hours / self.hours


class Simulation:
    """One harvest, event by event."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.random, self.storage = plan, random.Random(plan.seed), Kept()
        self.now = self.driver_free = self.driver_busy = 0.0
        self.looking = False
        self.driver = -1
        self.lost = self.doubled = self.died = self.taken_up = 0
        self._events: list[tuple[float, int, str, Any]] = []
        self._count = 0
        self.slow = {n for n in range(plan.workers) if self.random.random() < plan.slow_workers}
        for when in plan.driver_deaths:
            self._later(when, "driver", None)
        self._drive()

    def _later(self, when: float, what: str, about: Any) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, what, about))

    def _drive(self) -> None:
        """Start the driver, and all workers with it; it goes on from what is on the storage."""
        self.assembly = Assembly(self.storage, ORIGIN)
        listed = 0 if NAME not in self.storage.files else self.storage.files[NAME][0].count(b'"file"')
        self.taken_up += len(self.assembly._held) - listed
        self.assembly.begin(1)
        self.schedule = Schedule(self.assembly.missing(self.plan.blocks))
        self.idle: list[int] = []
        self.at: dict[int, Attempt] = {}  # what each worker is at
        self.life = [0] * self.plan.workers  # which of its successors each worker is
        self.driver = self.driver + 1
        for worker in range(self.plan.workers):
            self._start(worker)

    def _start(self, worker: int) -> None:
        self.life[worker] += 1
        key = (self.driver, worker, self.life[worker])
        ready = self.now + self.plan.start * self.random.uniform(0.8, 1.5)
        self._later(ready, "ready", key)
        self._later(ready + self.random.expovariate(1 / self.plan.worker_life), "dies", key)

    def run(self) -> Outcome:
        """Go on until all blocks are done."""
        while not self.schedule.done:
            self.now, _, what, about = heapq.heappop(self._events)
            if what == "driver":
                self._driver_dies()
            elif what == "look" or (about[0], self.life[about[1]]) == (self.driver, about[2]):
                getattr(self, f"_{what}")(about)
            self._hand_out()
        self._count_up()
        return self._outcome(self.assembly.finish())

    def _ready(self, key: tuple[int, int, int]) -> None:
        self.idle.append(key[1])

    def _look(self, _: Any) -> None:
        self.looking = False  # what is done now is done at every event: slow blocks are looked for

    def _dies(self, key: tuple[int, int, int]) -> None:
        worker = key[1]
        self.died += 1
        if worker in self.at:
            self.schedule.failed(self.at.pop(worker), "it died.")
        if worker in self.idle:
            self.idle.remove(worker)
        self._start(worker)

    def _driver_dies(self) -> None:
        self._count_up()
        self._drive()

    def _count_up(self) -> None:
        self.lost += self.schedule.lost
        self.doubled += self.schedule.doubled

    def _hand_out(self) -> None:
        waiting = []
        for worker in self.idle:
            attempt = self.schedule.next(worker, self.now)
            if attempt is None:
                waiting.append(worker)
                continue
            self.at[worker] = attempt
            if self.random.random() >= self.plan.stalls:
                takes = self.plan.block_seconds * self.random.lognormvariate(0, self.plan.spread)
                takes *= self.plan.slowness if worker in self.slow else 1
                self._later(self.now + takes, "done", (self.driver, worker, self.life[worker]))
        if waiting and not self.looking:
            self.looking = True
            self._later(self.now + LOOK, "look", None)
        self.idle = waiting

    def _done(self, key: tuple[int, int, int]) -> None:
        worker = key[1]
        attempt = self.at.pop(worker)
        self.idle.append(worker)
        shard, header, size = self._file(attempt.block)
        self.storage.files[shard.file] = header, size
        self.driver_free = max(self.now, self.driver_free) + self.plan.driver_seconds
        self.driver_busy += self.plan.driver_seconds
        if self.schedule.finished(attempt, self.now):
            self.assembly.add(shard, columns_of(self.plan.width))

    def _file(self, block: int) -> tuple[Shard, bytes, int]:
        """Return a file as a worker would write it, its header only."""
        rows, width = self.plan.rows, self.plan.width
        digest = hashlib.sha256(f"rows of block {block}".encode()).hexdigest()
        inputs, samples = (block, block + 1), (0, rows // 64)
        shard = Shard(f"rows-{block:06d}-{digest}.safetensors", {POINT: rows}, digest, inputs, samples)
        columns = {point: asdict(column) for point, column in columns_of(width).items()}
        data = rows * (2 * width + 8 + 2 * 4)
        said = json.dumps({"shard": asdict(shard), "columns": columns})
        text = json.dumps({"__metadata__": {"anylens": said}, "values": {"data_offsets": [0, data]}}).encode()
        return shard, len(text).to_bytes(8, "little") + text, 8 + len(text) + data

    def _outcome(self, manifest: Manifest) -> Outcome:
        plan = self.plan
        found = [shard.inputs[0] for shard in manifest.shards]
        ideal = plan.start + plan.blocks * plan.block_seconds / plan.workers
        return Outcome(
            hours=max(self.now, self.driver_free) / 3600,
            ideal_hours=ideal / 3600,
            missing=plan.blocks - len(set(found)),
            twice=len(found) - len(set(found)),
            lost=self.lost,
            doubled=self.doubled,
            workers_died=self.died,
            taken_up=self.taken_up,
            manifests=self.storage.manifests,
            manifest_bytes=self.storage.manifest_bytes,
            manifest_size=self.storage.size(NAME),
            driver_busy=self.driver_busy / max(self.now, self.driver_free),
        )


def columns_of(width: int) -> dict[str, Column]:
    """Return what the simulated rows are like."""
    return {POINT: Column(width, "float16", ("pos",))}


def simulate(plan: Plan) -> Outcome:
    """Simulate a harvest."""
    return Simulation(plan).run()
