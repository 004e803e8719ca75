"""Ranks on this computer: processes that find each other, and stop together.

Each is told what `torchrun` tells its processes, in the environment, so that what runs in them need not know who
started it. What went wrong in one comes back as one error; the others are ended.
"""

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess, parent_process
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist
from torch.multiprocessing.spawn import start_processes

from anylens.core.errors import AnylensError, RankError, SaeError

GRACE = 10.0  # seconds for the others to end by themselves once one has failed


def start(ranks: int, work: Callable[..., None], *given: Any) -> None:
    """Run `work(*given)` in several processes at once, and wait for them.

    Args:
        ranks: how many processes.
        work: a function of a module, which the processes import; so are what it is given.

    Raises:
        SaeError: what was raised in a process, or that there are too few ranks.
        RankError: a process was ended from outside.
    """
    if ranks < 2:
        raise SaeError(f"Ranks are two or more, and {ranks} was given.")
    with tempfile.TemporaryDirectory() as folder:
        told = {"folder": folder, "ranks": ranks, "threads": max(1, torch.get_num_threads() // ranks)}
        started: Any = start_processes(
            _enter, (told, work, given), nprocs=ranks, join=False, start_method="spawn"
        )
        processes: list[BaseProcess] = started.processes
        try:
            _watch(processes)
        finally:
            codes = [process.exitcode for process in processes]  # None for those that are yet to be ended
            _end(processes)
        _tell(Path(folder), codes)


def _enter(rank: int, told: dict[str, Any], work: Callable[..., None], given: tuple[Any, ...]) -> None:
    """Become a rank: meet the others, do the work, and leave a note of what goes wrong."""
    ranks, folder = told["ranks"], Path(told["folder"])
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
    if sys.platform == "linux":
        os.environ.setdefault(
            "GLOO_SOCKET_IFNAME", "lo"
        )  # the others are on this computer, whatever its name is
    torch.set_num_threads(told["threads"])
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # which torch has come when the starter is gone, too
    starter = parent_process()
    if starter is None or not starter.is_alive():  # gone already
        sys.exit(1)
    try:
        if torch.cuda.is_available():
            torch.cuda.set_device(rank % torch.cuda.device_count())
        dist.init_process_group(init_method=(folder / "meet").as_uri(), rank=rank, world_size=ranks)
        work(*given)
    except BaseException as error:
        _note(folder, rank, error)
        sys.exit(1)


def _note(folder: Path, rank: int, error: BaseException) -> None:
    ours = isinstance(error, AnylensError)
    if not ours and not isinstance(error, KeyboardInterrupt):
        traceback.print_exc()
    message = str(error) if ours else f"Rank {rank} failed: {type(error).__name__}: {error}."
    note = {"message": message, "cause": not isinstance(error, RankError | KeyboardInterrupt)}
    (folder / f"{rank}.json").write_text(json.dumps(note))


def _watch(processes: list[BaseProcess]) -> None:
    """Wait until all have ended, or a while after the first has failed."""
    until = float("inf")
    while running := [process for process in processes if process.exitcode is None]:
        wait([process.sentinel for process in running], timeout=0.5)
        if any(process.exitcode for process in processes):
            until = min(until, time.monotonic() + GRACE)
        if time.monotonic() > until:
            return


def _end(processes: list[BaseProcess]) -> None:
    for process in processes:
        if process.exitcode is None:
            process.terminate()
    for process in processes:
        process.join(GRACE)
        if process.exitcode is None:
            process.kill()
            process.join()


def _tell(folder: Path, codes: list[int | None]) -> None:
    """Raise what was the cause, if anything failed."""
    if not any(codes):
        return
    notes = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    causes = [note["message"] for note in notes if note["cause"]]
    if causes:
        raise SaeError(causes[0])
    ended = [(rank, code) for rank, code in enumerate(codes) if code is not None and code < 0]
    for rank, code in ended:
        raise RankError(
            f"Rank {rank} was ended from outside by {signal.Signals(-code).name}, as happens when memory runs out, and "
            "the others stopped. Started again, the training goes on from its last checkpoint."
        )
    raise RankError(notes[0]["message"] if notes else f"The ranks ended with {codes}.")
