"""A simulated harvest by many workers, with the project's own scheduling and manifest: nothing lost, nothing twice."""

from dataclasses import replace

from tools.scale.model import Assumptions, table
from tools.scale.simulate import Plan, simulate

SMALL = Plan(
    workers=32, blocks=400, block_seconds=30.0, start=20.0, worker_life=1e9, stalls=0.0, slow_workers=0.0
)


def test_nobody_fails():
    found = simulate(SMALL)
    assert (found.missing, found.twice, found.lost, found.doubled, found.taken_up) == (0, 0, 0, 0, 0)
    assert 0.8 < found.efficiency <= 1.05
    assert found.manifest_bytes < 25 * found.manifest_size  # however often it is written


def test_workers_die_and_stall_and_the_driver_is_killed():
    hard = replace(SMALL, worker_life=300.0, stalls=0.01, slow_workers=0.1, driver_deaths=(97.0, 251.0))
    found = simulate(hard)
    assert (found.missing, found.twice) == (0, 0)
    assert found.lost > 10
    assert found.workers_died > 20
    assert found.taken_up > 0  # files that no manifest listed when the driver was killed
    assert simulate(hard) == found
    assert simulate(replace(hard, seed=1)) != found


def test_a_stalled_worker_costs_little():
    calm, stalled = simulate(SMALL), simulate(replace(SMALL, stalls=0.02))
    assert (stalled.missing, stalled.twice) == (0, 0)
    assert stalled.hours < 1.6 * calm.hours


def test_the_model_says_something_of_everything():
    said = dict(table(Assumptions()))
    assert said["rows on the storage"].startswith("8.2 TB")
    assert "8.6 billion weights" in said["dictionary"]
