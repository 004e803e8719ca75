"""A store is the same at a path, at a URL and behind a real S3 API, and whole wherever it is."""

import threading
import uuid
from itertools import pairwise

import pytest
import torch

from anylens.core.errors import DamagedShardError, MissingExtraError, StoreError
from anylens.store.ahead import Ahead
from anylens.store.batches import Batches
from anylens.store.reader import Store
from anylens.store.rows import Rows
from anylens.store.storage import OnDisk, storage_at
from anylens.store.writer import Writer

AXES = {"a": ("pos",)}


def rows(first: int, count: int = 5, width: int = 3) -> Rows:
    sample = torch.arange(first, first + count)
    where = torch.stack([torch.zeros(count), torch.arange(count)], 1).to(torch.int32)
    return Rows(sample[:, None].float().expand(count, width).clone(), sample, where)


def fill(where, inputs=7, *, finish=True):
    with Writer(where, {"model": "m"}, shard_bytes=1) as writer:
        for number in range(writer.inputs, inputs):
            writer.add({"a": rows(5 * number)}, AXES, 5)
        if finish:
            writer.finish()
    return Store(where)


@pytest.fixture(scope="module")
def bucket():
    """A bucket of an S3 server on this computer."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "any")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        storage_at("s3://rows").system.mkdir("rows")
        yield "s3://rows"
    server.stop()


@pytest.fixture(params=["disk", "file", "memory", "s3"])
def place(request, tmp_path):
    if request.param == "disk":
        return tmp_path / "rows"
    if request.param == "file":
        return f"file://{tmp_path}/rows"
    root = request.getfixturevalue("bucket") if request.param == "s3" else "memory://"
    return (
        f"{root.rstrip('/')}/{uuid.uuid4().hex}/rows"
        if request.param == "s3"
        else f"{root}{uuid.uuid4().hex}"
    )


def test_a_store_is_the_same_everywhere(place, tmp_path):
    wanted = fill(tmp_path / "wanted")
    assert Store(fill(place, 3, finish=False).folder).count("a") == 15  # cut off
    found = fill(place)
    assert found.manifest == wanted.manifest
    found.check()
    orders = [
        [
            (batch.values, batch.sample, batch.where)
            for batch in Batches(store.column("a"), 4, mixing=8, seed=1)
        ]
        for store in (wanted, found)
    ]
    assert len(orders[0]) == 9
    for one, other in zip(*orders, strict=True):
        assert all(torch.equal(*parts) for parts in zip(one, other, strict=True))


def test_damage_is_found_everywhere(place):
    store = fill(place)
    shard, other = store.manifest.shards[2:4]
    store.folder.write(shard.file, store.folder.read(other.file))
    with pytest.raises(DamagedShardError, match="rows-000002"):
        Store(place).column("a").read(2, 0, 5)
    with pytest.raises(DamagedShardError, match="rows-000002"):
        Store(place).check()
    store.folder.remove(shard.file)
    store.folder.remove(shard.file)  # again is no error
    with pytest.raises(DamagedShardError, match="rows-000002"):
        list(Batches(Store(place).column("a"), 5))


def test_files_are_read_in_part_and_listed(place):
    storage = storage_at(place)
    assert storage.names() == []
    storage.make()
    storage.write("a", b"0123456789")
    storage.write("a", b"abcdefghij")
    assert (storage.read("a", 2, 5), storage.size("a"), storage.names()) == (b"cde", 10, ["a"])
    with pytest.raises(FileNotFoundError):
        storage.read("b")
    with pytest.raises(FileNotFoundError):
        storage.size("b")
    assert str(storage) in (str(place), str(place).removeprefix("file://"))


def test_two_writers_at_a_url_do_no_harm():
    place = f"memory://{uuid.uuid4().hex}"
    one, other = (Writer(place, {"model": "m"}, shard_bytes=1) for _ in range(2))
    for number in range(4):
        for writer in (one, other):
            writer.add({"a": rows(5 * number)}, AXES, 5)
    one.finish()
    other.finish()
    one.close()
    other.close()
    store = Store(place)
    store.check()
    assert store.manifest.complete
    assert torch.cat([store.column("a").read(n, 0, 5).sample for n in range(4)]).tolist() == list(range(20))


def test_what_cannot_be_reached(tmp_path, monkeypatch):
    assert storage_at(f"file://{tmp_path}") == storage_at(tmp_path) == OnDisk(tmp_path)
    with pytest.raises(StoreError, match="nowhere://x cannot be reached"):
        storage_at("nowhere://x")

    def absent(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.url_to_fs", absent)
    with pytest.raises(MissingExtraError, match=r"anylens\[s3\]"):
        storage_at("s3://bucket/rows")


def test_a_storage_that_refuses_loses_nothing(monkeypatch):
    place = f"memory://{uuid.uuid4().hex}"
    with Writer(place, {"model": "m"}, shard_bytes=1) as writer:
        writer.add({"a": rows(0)}, AXES, 5)
        with monkeypatch.context() as patch:
            patch.setattr(writer.storage.system, "pipe_file", lambda *_: 1 / 0)
            with pytest.raises(StoreError, match="could not be written.*run the same command again"):
                writer.add({"a": rows(5)}, AXES, 5)
    assert fill(place).count("a") == 35


def test_blocks_are_read_ahead_and_few_are_held():
    loaded, free = [], threading.Event()

    def load(block):
        free.wait(10)
        loaded.append(block)
        return rows(block)

    ahead = Ahead(load, most=2)
    ahead.expect([4, 1, 7, 3])
    assert ahead.take(3) is None  # that far ahead nothing is read
    threading.Timer(0.02, free.set).start()
    assert int(ahead.take(4).sample[0]) == 4
    assert ahead.waited > 0
    ahead.expect([1, 7, 3])
    assert [int(ahead.take(block).sample[0]) for block in (1, 7, 3)] == [1, 7, 3]
    assert ahead.take(4) is None
    assert sorted(loaded) == [1, 3, 4, 7]
    never = Ahead(load, most=0)
    never.expect([1])
    assert never.take(1) is None


def test_a_stores_blocks_are_expected_over_the_end_of_an_epoch(tmp_path):
    column = fill(tmp_path).column("a")
    told = []
    column.expect = lambda blocks: told.append(list(blocks))
    seen = [int(batch.sample[0]) // 5 for batch in Batches(column, 5, mixing=1, epochs=2, seed=3)]
    assert len(seen) == 14
    for before, after in pairwise(told):
        assert after[0] == before[1]  # what comes was said, also from one epoch to the next
