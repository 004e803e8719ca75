"""What a store holds is whole, or is named and refused."""

import json

import pytest
import torch

from anylens.core.errors import DamagedShardError, StoreError
from anylens.store.reader import InMemory, Store
from anylens.store.rows import Rows
from anylens.store.writer import Writer

AXES = {"a": ("pos",)}


def rows(first: int, count: int = 5, width: int = 3) -> Rows:
    sample = torch.arange(first, first + count)
    values = sample[:, None].float().expand(count, width).clone()
    return Rows(values, sample, torch.stack([torch.zeros(count), torch.arange(count)], 1).to(torch.int32))


def written(folder, inputs=4, shard_bytes=1):
    with Writer(folder, {"model": "m"}, shard_bytes=shard_bytes) as writer:
        for number in range(writer.inputs, inputs):
            writer.add({"a": rows(5 * number)}, AXES, 5)
        writer.finish()
    return Store(folder)


def test_rows_come_back_with_their_places(tmp_path):
    store = written(tmp_path / "s", inputs=3)
    column = store.column("a")
    assert (store.points, store.count("a"), column.sizes, column.width) == (("a",), 15, [5, 5, 5], 3)
    found = column.read(1, 1, 4)
    assert found.sample.tolist() == [6, 7, 8]
    assert torch.equal(found.values[:, 0], found.sample.float())
    assert found.where.tolist() == [[0, 1], [0, 2], [0, 3]]
    assert store.manifest.complete
    assert store.manifest.shards[2].samples == (10, 15)
    assert "15 rows of 3 float32, by pos" in repr(store)


def test_a_run_that_was_cut_off_goes_on(tmp_path):
    two = 2 * rows(0).bytes
    with Writer(tmp_path, {"model": "m"}, shard_bytes=two) as writer:
        for number in range(3):  # the third is pending when it ends
            writer.add({"a": rows(5 * number)}, AXES, 5)
    (tmp_path / "rows-000001.safetensors").write_bytes(b"half")  # no file of this store
    (tmp_path / "rows-000002.safetensors.part").write_bytes(b"half")
    assert Store(tmp_path).count("a") == 10
    with Writer(tmp_path, {"model": "m"}) as writer:
        assert (writer.inputs, writer.samples) == (2, 10)
        assert [file.name[:12] for file in tmp_path.glob("rows*")] == ["rows-000000-"]
    assert written(tmp_path).count("a") == 20
    assert len(Store(tmp_path).manifest.shards) == 2  # two inputs in each, as when it began


def test_what_was_committed_and_not_listed_is_taken_up(tmp_path):
    written(tmp_path / "whole")
    with Writer(tmp_path / "cut", {"model": "m"}, shard_bytes=1) as writer:
        writer.add({"a": rows(0)}, AXES, 5)
    early = (tmp_path / "cut" / "manifest.json").read_text()
    with Writer(tmp_path / "cut", {"model": "m"}, shard_bytes=1) as writer:
        writer.add({"a": rows(5)}, AXES, 5)
    (tmp_path / "cut" / "manifest.json").write_text(early)  # as if it had been killed before it was written
    for file in (tmp_path / "whole").glob("rows-000003-*"):  # a worker that was quicker than the others
        (tmp_path / "cut" / file.name).write_bytes(file.read_bytes())
    torn = tmp_path / "cut" / f"rows-000002-{'0' * 64}.safetensors"
    torn.write_bytes(file.read_bytes()[:-1])
    with Writer(tmp_path / "cut", {"model": "m"}) as writer:
        assert (writer.inputs, writer.samples) == (2, 10)
        assert [shard.inputs for shard in writer.manifest.ahead] == [(3, 4)]
        writer.add({"a": rows(10)}, AXES, 5)
        assert (writer.inputs, writer.samples) == (4, 20)
        writer.finish()
    assert not torn.exists()
    found = [Store(tmp_path / name) for name in ("whole", "cut")]
    assert found[0].manifest == found[1].manifest


def test_another_harvest_is_refused(tmp_path):
    written(tmp_path)
    with pytest.raises(StoreError, match="model was 'm', and is now 'n'"):
        Writer(tmp_path, {"model": "n"})
    with Writer(tmp_path, {"model": "m"}) as writer:
        with pytest.raises(StoreError, match="Another process"):
            Writer(tmp_path, {"model": "m"})
        with pytest.raises(StoreError, match="The rows of a were"):
            writer.add({"a": rows(0, width=4)}, AXES, 5)


@pytest.mark.parametrize("how", ["flipped", "cut", "gone", "swapped"])
def test_a_damaged_or_foreign_shard_is_named(tmp_path, how):
    store = written(tmp_path)
    file = tmp_path / store.manifest.shards[2].file
    content = bytearray(file.read_bytes())
    if how == "flipped":
        content[-3] ^= 1
        file.write_bytes(content)
    elif how == "cut":
        file.write_bytes(content[:-10])
    elif how == "gone":
        file.unlink()
    else:
        file.write_bytes((tmp_path / store.manifest.shards[1].file).read_bytes())
    store.column("a").read(1, 0, 5)
    with pytest.raises(DamagedShardError, match="rows-000002"):
        store.column("a").read(2, 0, 5)
    with pytest.raises(DamagedShardError, match="rows-000002"):
        Store(tmp_path).check()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 9}', '{"format": 1}', '{"format": 1, "origin": {}, "shards": 3}']
)
def test_a_damaged_manifest_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(StoreError, match="manifest"):
        Store(tmp_path)


def test_what_is_no_store(tmp_path):
    with pytest.raises(StoreError, match="is no store of rows"):
        Store(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be a store"):
        Writer(tmp_path / "file", {})
    (tmp_path / "other.safetensors").write_bytes(b"")
    with pytest.raises(StoreError, match="folder of its own"):
        Writer(tmp_path, {})
    store = written(tmp_path / "s")
    with pytest.raises(StoreError, match="no rows of 'b'. It holds a"):
        store.column("b")
    with pytest.raises(StoreError, match=r"\[row, width\]"):
        InMemory(torch.zeros(3))


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    with Writer(tmp_path, {"model": "m"}, shard_bytes=1) as writer:
        writer.add({"a": rows(0)}, AXES, 5)

        def full(_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(StoreError, match="No space left.*run the same command again"):
                writer.add({"a": rows(5)}, AXES, 5)
    assert not list(tmp_path.glob("*.part"))
    assert Store(tmp_path).count("a") == 5
    assert written(tmp_path).count("a") == 20


def test_no_pickle_in_a_store(tmp_path):
    written(tmp_path)
    assert {file.suffix for file in tmp_path.iterdir() if file.name != ".lock"} == {".json", ".safetensors"}
    json.loads((tmp_path / "manifest.json").read_text())
