"""The rows of a cluster are those of one process, whatever dies."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import anylens
from anylens.cli import main
from anylens.core.errors import StoreError, UnknownPointError
from anylens.harvest import Batches, Ray, Store, harvest
from anylens.harvest.work import fingerprint
from tests.harvest.jobs import COUNT, DRIVER, POINT, Inputs, broken_lens, make_lens

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster():
    """A cluster on this computer, with room for two workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv(
            "PYTHONPATH", os.pathsep.join([*os.environ.get("PYTHONPATH", "").split(os.pathsep), str(ROOT)])
        )
        patch.setenv("OMP_NUM_THREADS", "1")
        start = {
            "num_cpus": 2,
            "include_dashboard": False,
            "log_to_driver": False,
            "logging_level": "critical",
        }
        try:
            ray.init(**start)
        except Exception:  # a node must start within 30 seconds, which a busy computer may miss once
            ray.shutdown()
            ray.init(**start)
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return harvest(make_lens, Inputs(), points=POINT, to=tmp_path_factory.mktemp("local"))


def on_ray(to, data=None, lens=make_lens, workers=2):
    return harvest(lens, data or Inputs(), points=POINT, to=to, engine=Ray(workers=workers))


def expect_equal(store, local):
    """The same rows of the same inputs in the same order, and the same order of batches for a seed."""
    assert store.manifest == local.manifest  # which holds each file's checksum
    assert sorted(file.name for file in Path(str(store.folder)).glob("rows*")) == sorted(
        shard.file for shard in local.manifest.shards
    )
    pairs = zip(*(Batches(one.column(POINT), 16, mixing=50, seed=3) for one in (store, local)), strict=True)
    for one, other in pairs:
        assert torch.equal(one.values, other.values)
        assert torch.equal(one.sample, other.sample)
        assert torch.equal(one.where, other.where)


def test_rows_do_not_hang_on_the_number_of_workers_or_on_one_that_is_killed(cluster, local, tmp_path):
    assert len(local.manifest.shards) == 15
    expect_equal(on_ray(tmp_path / "one", workers=1), local)
    (tmp_path / "traps").mkdir()
    data = Inputs(str(tmp_path / "traps"), deadly=(1, COUNT - 1), slow=(10,))
    began = time.monotonic()
    expect_equal(on_ray(tmp_path / "two", data), local)
    assert time.monotonic() - began < 300  # nobody waited for the one that was held up
    assert len(list((tmp_path / "traps").iterdir())) == 3  # all sprang


@pytest.mark.wide
def test_a_driver_that_is_killed_is_started_again(cluster, local, tmp_path):
    to = tmp_path / "rows"
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(to), cluster], stderr=subprocess.PIPE)
    until = time.monotonic() + 200
    while len(list(to.glob("rows*"))) < 3:
        assert driver.poll() is None, driver.stderr.read().decode()
        assert time.monotonic() < until
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    made = {file.name for file in to.glob("rows*.safetensors")}
    assert 3 <= len(made) < 15
    assert not Store(to).manifest.complete
    times = {name: (to / name).stat().st_mtime_ns for name in made}
    expect_equal(on_ray(to), local)
    assert all(
        (to / name).stat().st_mtime_ns == written for name, written in times.items()
    )  # none made again


@pytest.mark.wide
def test_what_is_wrong_is_said_as_it_is_said_at_home(cluster, local, tmp_path):
    with pytest.raises(UnknownPointError):
        harvest(make_lens, Inputs(), points="2.hook_out", to=tmp_path / "a", engine=Ray(workers=1))
    with pytest.raises(StoreError, match="could not begin.*no weights here"):
        on_ray(tmp_path / "b", lens=broken_lens, workers=1)
    with pytest.raises(StoreError, match="holds rows of another harvest: points was"):
        harvest(make_lens, Inputs(), points="0.hook_out", to=local.folder, engine=Ray(workers=1))


@pytest.mark.wide
@pytest.mark.filterwarnings("ignore")
def test_the_command_gives_the_same_folder_on_a_cluster(cluster, tmp_path):
    what = ["zoo:shapes-vit", "--points", "blocks.3.hook_resid_post", "--positions", "patches"]
    what += ["--samples", "64", "--batch", "4"]
    assert main(["harvest", *what, "--to", str(tmp_path / "here")]) == 0
    there = ["--engine", "ray", "--workers", "2", "--address", cluster, "--to", str(tmp_path / "there")]
    assert main(["harvest", *what, *there]) == 0
    one, two = Store(tmp_path / "here").manifest, Store(tmp_path / "there").manifest
    assert one.complete
    assert one == two  # which holds each file's checksum


def test_what_cannot_be_sent_is_refused_at_once(tmp_path):
    with pytest.raises(StoreError, match="nobody knows how this one on Sequential was made.*a function"):
        on_ray(tmp_path, lens=make_lens())
    with pytest.raises(StoreError, match="'rey' is unknown"):
        harvest(make_lens, Inputs(), points=POINT, to=tmp_path, engine="rey")
    with pytest.raises(StoreError, match="makes no sense"):
        Ray(workers=0)


def test_a_loaded_lens_is_made_again_and_told_from_a_changed_one():
    lens = anylens.load("zoo:shapes-vit")
    again = lens.made_by()
    assert fingerprint(again) == fingerprint(lens)
    with torch.no_grad():
        again.model.classifier.weight.mul_(1.01)
    assert fingerprint(again) != fingerprint(lens)


def test_a_harvest_begun_on_a_cluster_goes_on_at_home(local, tmp_path):
    whole = Path(str(local.folder))
    harvest(make_lens, Inputs(), points=POINT, to=tmp_path, progress=False)
    with contextlib.suppress(FileNotFoundError):
        (tmp_path / "manifest.json").unlink()
    manifest = (whole / "manifest.json").read_text().replace('"complete": true', '"complete": false')
    (tmp_path / "manifest.json").write_text(manifest)
    assert harvest(make_lens, Inputs(), points=POINT, to=tmp_path).manifest == local.manifest
