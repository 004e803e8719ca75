"""How much memory a run needs, and how much there is: what decides how many cells go into one forward."""

import os
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from anylens.core.tree import leaves

SHARE = 0.25  # of the free memory that one forward may take
UNKNOWN = 2**31  # bytes taken to be free where nothing says
GROUP = Path("/sys/fs/cgroup")


class Meter(TorchDispatchMode):
    """Counts the bytes of tensors that are alive at once while some code runs, without those that were there before."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self.now = 0
        self._alive: Counter[int] = Counter()  # tensors by the storage that they share

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {tensor.untyped_storage().data_ptr() for tensor in _stored((args, kwargs or {}))}
        result = func(*args, **(kwargs or {}))
        for tensor in _stored(result):
            storage = tensor.untyped_storage()
            key, size = storage.data_ptr(), storage.nbytes()
            if not key or (key in given and not self._alive[key]):
                continue  # a view of something older
            if not self._alive[key]:
                self.now += size
            self._alive[key] += 1
            weakref.finalize(tensor, self._gone, key, size)
        self.peak = max(self.peak, self.now)
        return result

    def _gone(self, key: int, size: int) -> None:
        self._alive[key] -= 1
        if not self._alive[key]:
            self.now -= size


def _stored(value: Any) -> list[torch.Tensor]:
    return [tensor for _, tensor in leaves(value) if tensor.layout == torch.strided and not tensor.is_nested]


def free_bytes(device: torch.device) -> int:
    """Return how many bytes are free on a device; on a CPU within the limit of its control group too."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [_number(GROUP / "memory.max", minus=GROUP / "memory.current")]
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    known = [size for size in found if size is not None]
    return min(known) if known else UNKNOWN


def _number(path: Path, *, minus: Path) -> int | None:
    try:
        return int(path.read_text()) - int(minus.read_text())
    except (OSError, ValueError):  # no such file, or no limit
        return None
