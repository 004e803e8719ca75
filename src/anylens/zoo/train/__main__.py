"""Trains every model of the zoo anew, a few at a time: `python -m anylens.zoo.train`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from anylens.zoo.catalogue import entry, names
from anylens.zoo.check import add_names

Train = Callable[[str], bool]
"""Trains the model of this name, and says whether it came to an end."""


def in_turn(given: Iterable[str], train: Train, *, jobs: int) -> list[str]:
    """Train models, so many at a time, each after those that it needs; returns those that failed.

    A model whose need has failed is not trained, and counts as failed.
    """
    wanted = set(given)
    left = [name for name in names() if name in wanted]
    running, failed = dict[Future[bool], str](), list[str]()
    with ThreadPoolExecutor(jobs) as pool:
        while left or running:
            for name in tuple(left):
                if entry(name).needs & set(failed):
                    failed.append(name)
                    left.remove(name)
            ready = [name for name in left if not entry(name).needs & {*left, *running.values()}]
            for name in ready[: jobs - len(running)]:
                running[pool.submit(train, name)] = name
                left.remove(name)
            for end in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(end)
                failed += [] if end.result() else [name]
    return failed


def script(name: str, *, threads: int) -> bool:
    """Run a model's script in a process of its own; what it prints comes out behind the model's name."""
    command = [sys.executable, "-u", "-m", entry(name).script, "--threads", str(threads)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        for line in running.stdout or ():
            print(f"{name}: {line}", end="", flush=True)
    return running.returncode == 0


def main(arguments: list[str] | None = None) -> None:
    """Run the scripts; one that fails keeps from their turn only those that need its model."""
    parser = argparse.ArgumentParser(prog="python -m anylens.zoo.train", description=__doc__)
    add_names(parser)
    parser.add_argument("--jobs", type=int, default=2, help="models at a time (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each (default: %(default)s)")
    given = parser.parse_args(arguments)
    if given.jobs < 1 or given.threads < 1:
        parser.error(f"--jobs is {given.jobs} and --threads {given.threads}; both must be at least 1")
    failed = in_turn(given.name or names(), lambda name: script(name, threads=given.threads), jobs=given.jobs)
    stale = [name for name in names() if name not in given.name and entry(name).needs & set(given.name)]
    if stale:
        print(f"trained or judged by a model of before, so train these anew as well: {', '.join(stale)}")
    if failed:
        raise SystemExit(f"not trained: {', '.join(failed)}")


if __name__ == "__main__":
    main()
