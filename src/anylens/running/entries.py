"""Which modules some code enters from outside: each with how often, and what it was given first."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Any

from torch import nn

from anylens.anatomy.observe import own_copy
from anylens.core.names import join
from anylens.running.examples import Arguments


@dataclass
class Entry:
    """A module that was entered from outside of all the others: how often, and when, by the number of all entries."""

    module: nn.Module
    given: Arguments
    count: int = 0
    first: float = inf
    second: float = inf


@contextmanager
def entries(roots: Mapping[str, nn.Module]) -> Iterator[dict[str, Entry]]:
    """Note the entries into the modules of several roots while some code runs, by path."""
    found: dict[str, Entry] = {}
    depth, number, handles, seen = [0], count(), [], set[int]()

    def hooks(path: str) -> tuple[Any, Any]:
        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            depth[0] += 1
            if depth[0] == 1:
                if path not in found:
                    found[path] = Entry(module, own_copy(args, kwargs))
                entry, now = found[path], next(number)
                entry.count += 1
                entry.first = min(entry.first, now)
                entry.second = now if entry.count == 2 else entry.second

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            depth[0] -= 1

        return enter, leave

    try:
        for name, root in roots.items():
            for path, module in root.named_modules():
                if id(module) in seen:
                    continue
                seen.add(id(module))
                enter, leave = hooks(join(name, path))
                handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
                handles.append(module.register_forward_hook(leave, always_call=True))
        yield found
    finally:
        for handle in handles:
            handle.remove()
