"""Harvested rows are the model's own values, each with its place, however often the harvest was cut off."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

import anylens
from anylens.core.errors import AxisError, StoreError
from anylens.harvest import Batches, Live, Store, harvest
from anylens.store.rows import joined
from tests import models, pipelines

pytestmark = pytest.mark.filterwarnings("ignore")
NAME = "blocks.1.hook_resid_post"


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    model, _ = models.vit()
    return anylens.attach(model)


def pictures(count=5, batch=3):
    generator = torch.Generator().manual_seed(1)
    return [{"pixel_values": torch.randn(batch, 3, 16, 16, generator=generator)} for _ in range(count)]


def all_rows(store, point=NAME):
    column = store.column(point)
    return [column.read(number, 0, size) for number, size in enumerate(column.sizes)]


def test_rows_are_what_the_model_has_there(vit, tmp_path):
    data = pictures()
    names = ["blocks.0.hook_mlp_out", NAME]
    store = harvest(vit, data, points=names, to=tmp_path, shard_bytes=9000)
    assert len(store.manifest.shards) > 1
    assert store.points == tuple(names)
    wanted = [vit.run_with_cache(one, points=names)[1] for one in data]
    for name in names:
        values = torch.cat([rows.values for rows in all_rows(store, name)])
        assert torch.equal(values, torch.cat([cache[name].reshape(-1, 24) for cache in wanted]))
    rows = all_rows(store)
    sample, where = torch.cat([one.sample for one in rows]), torch.cat([one.where for one in rows])
    assert sample.tolist() == [n for n in range(15) for _ in range(17)]
    assert where[:, 1].tolist() == list(range(17)) * 15
    assert store.manifest.columns[NAME].axes == ("pos",)
    store.check()


@pytest.mark.parametrize(
    ("positions", "kept"),
    [
        ("all", list(range(17))),
        ("first", [0]),
        ("patches", list(range(1, 17))),
        (slice(2, 9, 3), [2, 5, 8]),
        ([-1, 4], [4, 16]),
        (torch.arange(17) % 5 == 0, [0, 5, 10, 15]),
        (lambda given: given["pixel_values"].new_ones(3, 17).cumsum(1) > 15, [15, 16]),
    ],
    ids=["all", "first", "patches", "slice", "indices", "mask", "function"],
)
def test_positions(vit, tmp_path, positions, kept):
    data = pictures(2)
    store = harvest(vit, data, points=NAME, to=tmp_path, positions=positions)
    rows = joined(all_rows(store))
    assert rows.where[:, 1].tolist() == kept * 6
    wanted = torch.cat([vit.run_with_cache(one, points=NAME)[1][NAME][:, kept] for one in data])
    assert torch.equal(rows.values, wanted.reshape(-1, 24))


def test_maps_become_rows_of_channels(tmp_path):
    model, example = models.resnet()
    lens = anylens.attach(model, example)
    name = next(point.name for point in lens.points.canonical.values() if "channel" in point.axes)
    store = harvest(lens, [example], points=name, to=tmp_path)
    value = lens.run_with_cache(example, points=name)[1][name]
    rows = all_rows(store, name)[0]
    assert store.manifest.columns[name].axes == ("height", "width")
    sample, (row, column) = int(rows.sample[-1]), rows.where[-1, 1:].tolist()
    assert torch.equal(rows.values[-1], value[sample, :, row, column])
    assert len(rows) == value.numel() // value.shape[1]


def test_padding_is_left_out_if_asked(tmp_path):
    model, _ = models.bert()
    lens = anylens.attach(model)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    data = [{"input_ids": torch.randint(3, 50, (2, 5)), "attention_mask": mask}]
    rows = all_rows(harvest(lens, data, points=NAME, to=tmp_path, positions="attended"))[0]
    assert rows.sample.tolist() == [0] * 3 + [1] * 5


def test_steps_of_a_generation_and_of_a_pipeline(tmp_path):
    model, example = models.llama()
    lens = anylens.attach(model, example)
    given = {**example, "max_new_tokens": 4, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    store = harvest(lens, [given], points=NAME, to=tmp_path / "text", method="generate", steps=slice(1, None))
    rows = all_rows(store)[0]
    assert rows.where[:, 0].tolist() == [1, 1, 2, 2, 3, 3]
    pipe = pipelines.stable_diffusion()
    lens = anylens.attach(pipe)
    middle = "unet.mid_block.hook_out"
    data = [
        {
            "prompt": ["ab", "cd"],
            "num_inference_steps": 3,
            "output_type": "np",
            "generator": torch.Generator(),
        }
    ]
    store = harvest(lens, data, points=middle, to=tmp_path / "pipe", steps=[0, 2])
    rows = all_rows(store, middle)[0]
    assert set(rows.where[:, 0].tolist()) == {0, 2}
    assert set(rows.sample.tolist()) == {0, 1}
    assert len(rows) == 2 * 2 * 4 * 4


def test_a_choice_that_does_not_fit(vit, tmp_path):
    for positions, error in (
        ("some", StoreError),
        ([99], AxisError),
        (torch.ones(3, 16, dtype=torch.bool), AxisError),
        (torch.ones(17), AxisError),
    ):
        with pytest.raises(error):
            harvest(vit, pictures(1), points=NAME, to=tmp_path / "x", positions=positions)
    harvest(vit, pictures(1), points=NAME, to=tmp_path / "y")
    with pytest.raises(StoreError, match="positions was"):
        harvest(vit, pictures(1), points=NAME, to=tmp_path / "y", positions="first")


def test_an_interruption_loses_and_doubles_nothing(vit, tmp_path):
    whole = harvest(vit, pictures(9), points=NAME, to=tmp_path / "whole", shard_bytes=1)

    class Cut:
        def __init__(self, after):
            self.after = after

        def __iter__(self):
            for number, one in enumerate(pictures(9)):
                if number == self.after:
                    raise KeyboardInterrupt
                yield one

    for after in (0, 2, 3, 7):
        with pytest.raises(KeyboardInterrupt):
            harvest(vit, Cut(after), points=NAME, to=tmp_path / "cut", shard_bytes=8000)
    again = harvest(vit, pictures(9), points=NAME, to=tmp_path / "cut", shard_bytes=8000)
    values = [torch.cat([rows.values for rows in all_rows(store)]) for store in (whole, again)]
    assert torch.equal(*values)
    assert torch.equal(*(torch.cat([rows.sample for rows in all_rows(store)]) for store in (whole, again)))
    before = os.stat(tmp_path / "cut" / "manifest.json").st_mtime_ns
    harvest(vit, Cut(0), points=NAME, to=tmp_path / "cut", shard_bytes=8000)  # complete: nothing is run
    assert os.stat(tmp_path / "cut" / "manifest.json").st_mtime_ns == before


SCRIPT = """
import sys, warnings
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
import anylens
from anylens.harvest import harvest
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU()).eval()
torch.manual_seed(0)
for weight in model.parameters():
    torch.nn.init.normal_(weight)
data = [torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(n)) for n in range(400)]
lens = anylens.attach(model, data[0])
print("ready", flush=True)
harvest(lens, data, points="0.hook_out", to=sys.argv[1], shard_bytes=2000)
print("done", flush=True)
"""


def test_a_harvest_that_is_killed_at_random_moments_loses_and_doubles_nothing(tmp_path):
    chance = random.Random(0)
    kills = 0
    for _ in range(30):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "cut")], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "ready\n"
        if kills < 4:
            time.sleep(chance.uniform(0.0, 0.12))
            process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0]
        if rest == "done\n":
            break
        kills += 1
    else:
        pytest.fail("it never came to its end")
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "whole")], check=True, capture_output=True)
    assert kills
    found = [Store(tmp_path / name) for name in ("cut", "whole")]
    for part in ("values", "sample", "where"):
        one, other = (
            torch.cat([getattr(rows, part) for rows in all_rows(store, "0.hook_out")]) for store in found
        )
        assert torch.equal(one, other)
    found[0].check()


def test_live_rows_are_those_of_a_store_and_resume_exactly(vit, tmp_path):
    data = pictures(count=4)
    store = harvest(vit, data, points=NAME, to=tmp_path / "rows", progress=False)
    kept = torch.cat([rows.values for rows in all_rows(store)])
    live = Live(vit, data, point=NAME)
    assert sum(live.sizes) == len(kept)
    rows = [live.read(block, 0, live.sizes[block]) for block in (2, 0, 3, 1)]
    by_sample = torch.cat([rows[n].values for n in (1, 3, 0, 2)])
    assert torch.equal(by_sample, kept)
    assert torch.cat([rows[n].sample for n in (1, 3, 0, 2)]).unique().tolist() == list(range(12))
    whole = [batch.values for batch in Batches(live, 16, mixing=64)]
    batches = Batches(live, 16, mixing=64)
    walk = iter(batches)
    next(walk), next(walk)
    place = batches.place()
    later = Batches(Live(vit, data, point=NAME), 16, mixing=64)
    later.go_to(place)
    assert torch.equal(torch.cat([batch.values for batch in later]), torch.cat(whole[2:]))


def test_live_rows_refuse_inputs_of_other_sizes(vit):
    live = Live(vit, [*pictures(count=1), *pictures(count=1, batch=2)], point=NAME)
    with pytest.raises(StoreError, match="harvest them into a folder"):
        live.read(1, 0, 1)
    with pytest.raises(StoreError, match="at least one"):
        Live(vit, [], point=NAME)
