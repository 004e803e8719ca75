"""A small job that workers of a cluster can make by themselves, with traps that spring once."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch

import anylens

POINT = "1.hook_out"
COUNT = 45


def make_lens():
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.Dropout(0.5)
    )  # draws random numbers, so as to see whose
    torch.manual_seed(0)
    for weight in model.parameters():
        torch.nn.init.normal_(weight)
    return anylens.attach(model.train(), torch.zeros(2, 5, 4))


@dataclass(frozen=True)
class Inputs:
    """Inputs of 1 to 3 samples; at the trapped ones a worker is killed, or held up, once."""

    folder: str = ""
    deadly: tuple[int, ...] = ()
    slow: tuple[int, ...] = ()
    pause: float = 0.0

    def __len__(self):
        return COUNT

    def __getitem__(self, number):
        if number >= COUNT:
            raise IndexError(number)
        time.sleep(self.pause)
        if number in self.deadly and self._springs(f"deadly-{number}"):
            os.kill(os.getpid(), signal.SIGKILL)
        if number in self.slow and self._springs(f"slow-{number}"):
            time.sleep(600)
        return torch.randn(1 + number % 3, 5, 4, generator=torch.Generator().manual_seed(number))

    def _springs(self, name):
        try:
            Path(self.folder, name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def broken_lens():
    raise RuntimeError("no weights here")


DRIVER = """
import sys
from anylens.harvest import Ray, harvest
from tests.harvest.jobs import Inputs, make_lens
harvest(make_lens, Inputs(pause=0.05), points="1.hook_out", to=sys.argv[1], engine=Ray(sys.argv[2], workers=2))
"""
