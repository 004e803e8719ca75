"""Measure a harvest by one and two workers, and how long a training waits for its rows, here and over S3's API."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from anylens.harvest import Batches, Ray, Store, harvest
from anylens.sae import Settings, make, train
from anylens.store.storage import storage_at
from anylens.zoo.feeding import Samples

MODEL, POINT = "zoo:shapes-vit", "blocks.3.hook_resid_post"
BATCH = 32


def rate(store: Store) -> float:
    """Return rows per second between the first file and the last, so that what starting costs is left out."""
    files = [Path(str(store.folder)) / shard.file for shard in store.manifest.shards]
    times = sorted(
        (file.stat().st_mtime, shard.rows[POINT])
        for file, shard in zip(files, store.manifest.shards, strict=True)
    )
    return sum(rows for _, rows in times[1:]) / (times[-1][0] - times[0][0])


def harvests(samples: int, rounds: int) -> dict[str, float]:
    """Harvest in this process, and by one and two workers of Ray; return the best rows per second of each."""
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    torch.set_num_threads(1)
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    engines = {"local": "local", "ray, 1 worker": Ray(workers=1), "ray, 2 workers": Ray(workers=2)}
    best = dict.fromkeys(engines, 0.0)
    data = Samples("shapes-vit", samples, batch=BATCH)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for name, engine in engines.items():
                store = harvest(
                    MODEL,
                    data,
                    points=POINT,
                    positions="patches",
                    to=f"{folder}/{name} {number}",
                    engine=engine,
                )
                best[name] = max(best[name], rate(store))
                files = [Path(str(store.folder)) / shard.file for shard in store.manifest.shards]
                size = sum(file.stat().st_size for file in files)
                print(
                    f"round {number}, {name}: {rate(store):,.0f} rows/s, {size / store.count(POINT):.1f} bytes a row"
                )
    ray.shutdown()
    return best


@contextmanager
def bucket() -> Iterator[str]:
    """A bucket behind S3's API, served on this computer by moto."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    storage_at("s3://rows").system.mkdir("rows")
    yield "s3://rows"
    server.stop()


def waiting(samples: int, steps: int) -> dict[str, float]:
    """Train on rows on disk and over S3's API, read ahead and not; return the share of the time spent on reading.

    With reading ahead that is what was waited for; without, each block is read when it is wanted.
    """
    torch.set_num_threads(1)
    shares = {}
    with bucket() as url, tempfile.TemporaryDirectory() as folder:
        for name, to in (("disk", f"{folder}/rows"), ("S3's API", f"{url}/rows")):
            data = Samples("shapes-vit", samples, batch=BATCH)
            store = harvest(MODEL, data, points=POINT, positions="patches", to=to, progress=False)
            for ahead in (2, 0):
                shares[f"{name}, {'read ahead' if ahead else 'read when wanted'}"] = _share(
                    store, ahead, steps
                )
    return shares


def _share(store: Store, ahead: int, steps: int) -> float:
    """Train, and return the share of the time that went by in reading blocks."""
    column = store.column(POINT, ahead=ahead)
    spent = 0.0
    read = column.read

    def timed(block: int, start: int, stop: int) -> object:
        nonlocal spent
        began = time.perf_counter()
        try:
            return read(block, start, stop)
        finally:
            spent += time.perf_counter() - began

    column.read = timed  # type: ignore[assignment, method-assign]
    batches = Batches(column, 1024, epochs=None, mixing=8192)
    began = time.perf_counter()
    train(make("topk", column.width, 8 * column.width, k=16), batches, Settings(steps=steps), progress=False)
    return spent / (time.perf_counter() - began)
