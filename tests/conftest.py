"""What every test starts from: offline, one thread per worker, the same random numbers."""

import os
import tempfile

# before anything imports a library that reads them
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("MPLBACKEND", "Agg")
# anatomies kept by an earlier run must not answer for the code of this one
os.environ["ANYLENS_CACHE"] = tempfile.mkdtemp(prefix="anylens-tests-")

import random
import shutil

import numpy as np
import pytest
import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """Files with slow tests come first: a long one that starts last would keep one worker busy alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def _cache_is_removed():
    yield
    shutil.rmtree(os.environ["ANYLENS_CACHE"], ignore_errors=True)


@pytest.fixture(autouse=True)
def _nothing_is_known(tmp_path, monkeypatch):
    """No test finds an anatomy that another one kept."""
    monkeypatch.setenv("ANYLENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("anylens.anatomy.known._MEMORY", {})


@pytest.fixture(autouse=True)
def _same_random_numbers():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
