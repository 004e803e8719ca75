"""Random numbers that hang on a seed alone, so that sampling and noise come out the same wherever they are drawn."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(number: int) -> Iterator[None]:
    """Have torch's random numbers begin with a seed; the caller's own go on afterwards as they were."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(number)
        yield
